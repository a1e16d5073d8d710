"""What may be asked of a classifier of texts, and what is said of one."""

from pydantic import BaseModel, Field

from service.tasks.classification import Label
from service.tasks.task import Ask


class ClassifyTextAsk(Ask):
    """A text, and how its labels are wanted."""

    text: str = Field(
        description="In any language and script; the model's card says how many bytes of UTF-8 a text may have.",
        min_length=1,
        pattern=r"^[^\x00]+$",
        json_schema_extra={"examples": ["Alle Menschen sind frei geboren."]},
    )
    top_k: int | None = Field(None, ge=1, description="How many labels; empty: the card's default.")


class TextLabels(BaseModel):
    """What is said of one text."""

    labels: list[Label] = Field(description="The most probable first.")
