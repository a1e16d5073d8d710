"""The card of a model that classifies a text."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.package.card import Card, Classes, Golden
from service.package.graph import Frozen, Graph, IntegerParameter, TensorName, Words, check_numbers, find
from service.package.provenance import Provenance

MAX_TEXT = 1 << 16


class TextInput(Frozen):
    """How a text becomes the graph's ``tensor`` (batch, bytes): at most ``max_bytes`` of UTF-8, then zeros.

    Texts are padded with zeros to a multiple of ``multiple`` bytes, so that different lengths share a batch.
    """

    tensor: TensorName
    max_bytes: Annotated[int, Field(gt=0, le=MAX_TEXT)]
    multiple: Annotated[int, Field(gt=0, le=MAX_TEXT)] = 64


class TextClassifyParameters(Frozen):
    """The parameters that a caller may set."""

    top_k: IntegerParameter


class TextClassifyCard(Card):
    """The card of a classifier of texts."""

    task: Literal["classify-text"] = "classify-text"
    title: Words
    lecture: Words = Field(description="Lecture section or paper the model comes from.")
    description: Words
    graph: Graph
    text: TextInput
    classes: Classes
    parameters: TextClassifyParameters
    golden: Golden
    provenance: Provenance

    @property
    def program(self) -> Graph:
        """The graph."""
        return self.graph

    @property
    def label_files(self) -> dict[str, str]:
        """The classes' labels."""
        return {self.classes.tensor: self.classes.labels}

    @property
    def row_elements(self) -> dict[str, int]:
        """Those of the longest text."""
        return {self.text.tensor: self.text.max_bytes}

    @model_validator(mode="after")
    def _tensors_are_there(self) -> "TextClassifyCard":
        text = find(self.graph.inputs, self.text.tensor, "text.tensor")
        if (text.datatype, text.shape) != ("UINT8", (-1, -1)):
            raise ValueError(f"text.tensor is {text.datatype} {list(text.shape)}; it must be UINT8 [-1, -1]")
        check_numbers(find(self.graph.outputs, self.classes.tensor, "classes.tensor"))
        return self
