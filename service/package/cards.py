"""The cards of all tasks, and how one is read: by its task."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from service.package.caption import CaptionCard
from service.package.card import ClassifyCard, TensorCard
from service.package.segment import SegmentCard
from service.package.text_classify import TextClassifyCard

AnyCard = Annotated[
    CaptionCard | ClassifyCard | SegmentCard | TensorCard | TextClassifyCard, Field(discriminator="task")
]
CARDS: TypeAdapter[CaptionCard | ClassifyCard | SegmentCard | TensorCard | TextClassifyCard] = TypeAdapter(AnyCard)
