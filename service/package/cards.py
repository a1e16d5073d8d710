"""The cards of all tasks, and how one is read: by its task."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from service.package.caption import CaptionCard
from service.package.card import ClassifyCard, TensorCard
from service.package.generate import GenerateCard
from service.package.segment import SegmentCard
from service.package.text_classify import TextClassifyCard

AnyCard = CaptionCard | ClassifyCard | GenerateCard | SegmentCard | TensorCard | TextClassifyCard
CARDS: TypeAdapter[AnyCard] = TypeAdapter(Annotated[AnyCard, Field(discriminator="task")])
