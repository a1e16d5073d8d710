"""What is answered of texts by their classifier."""

from pydantic import BaseModel, Field

from service.tasks.answer import Timing
from service.tasks.classification import Label


class TextLabels(BaseModel):
    """What is said of one text."""

    labels: list[Label] = Field(description="The most probable first.")


class TextClassification(BaseModel):
    """The answer, with the model and version that gave it."""

    model: str
    version: str
    labels: list[Label] = Field(description="The most probable first.")
    timing: Timing


class TextClassificationBatch(BaseModel):
    """The answer to several texts, in their order."""

    model: str
    version: str
    results: list[TextLabels]
    timing: Timing = Field(description="Of all of them together.")
