"""The fields of a text classification request, and the result for one text."""

from pydantic import BaseModel, Field

from service.tasks.classification import Label
from service.tasks.task import Ask


class ClassifyTextAsk(Ask):
    """A text, and how many labels to return."""

    text: str = Field(
        description="The text, in any language and script. The model's card limits its bytes in UTF-8.",
        min_length=1,
        pattern=r"^[^\x00]+$",
        json_schema_extra={"examples": ["Alle Menschen sind frei geboren."]},
    )
    top_k: int | None = Field(None, ge=1, description="How many labels are returned; empty: the card's default.")


class TextLabels(BaseModel):
    """The result for one text."""

    labels: list[Label] = Field(description="The most probable first.")
