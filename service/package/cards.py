"""The cards there are, and the one way to read one: by its task."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from service.package.caption import CaptionCard
from service.package.card import ClassifyCard, TensorCard

AnyCard = Annotated[CaptionCard | ClassifyCard | TensorCard, Field(discriminator="task")]
CARDS: TypeAdapter[CaptionCard | ClassifyCard | TensorCard] = TypeAdapter(AnyCard)
