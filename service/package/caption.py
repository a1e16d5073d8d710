"""The card of a model that describes an image, word by word."""

from typing import Literal

from pydantic import Field, model_validator

from service.package.card import Card, Golden, Preprocessing
from service.package.graph import Frozen, Side, TensorName, Words, find
from service.package.loop import Loop
from service.package.provenance import Provenance
from service.package.token_choice import LOG_PROBABILITY, SCORE, TOKEN


class AttentionGrid(Frozen):
    """``tensor`` has, for each word, the attention to each place of the image: (batch, height * width)."""

    tensor: TensorName
    height: Side
    width: Side


class CaptionCard(Card):
    """The card of a captioner: the loop's encoder takes an image, and its choice gives the words.

    A caller may set what the loop's ``choice`` allows, and ``steps``, the most words, within their ranges.
    """

    task: Literal["caption"] = "caption"
    title: Words
    lecture: Words = Field(description="Lecture section or paper the model comes from.")
    description: Words
    loop: Loop
    preprocessing: Preprocessing
    attention: AttentionGrid | None = None
    golden: Golden
    provenance: Provenance

    @property
    def program(self) -> Loop:
        """The loop."""
        return self.loop

    @model_validator(mode="after")
    def _is_a_captioner(self) -> "CaptionCard":
        loop = self.loop
        find(loop.encoder_inputs, self.preprocessing.tensor, "preprocessing.tensor")
        needed = [tensor.name for tensor in loop.inputs if loop.defaults.get(tensor.name) is None]
        if needed != [self.preprocessing.tensor]:
            raise ValueError(f"loop: a request needs {needed}; a captioner takes only an image")
        if loop.end_token is None or loop.text is None or loop.text.output != TOKEN.name:
            raise ValueError(f"loop: a captioner needs 'end' and 'text' with the output {TOKEN.name!r}")
        if not {TOKEN.name, LOG_PROBABILITY.name} <= set(loop.emit) or SCORE.name not in loop.answer:
            raise ValueError(
                f"loop: emit is {list(loop.emit)} and answer is {list(loop.answer)}; a captioner must emit "
                f"{TOKEN.name!r} and {LOG_PROBABILITY.name!r} and answer {SCORE.name!r}"
            )
        if self.attention is not None:
            self._check_attention(self.attention)
        return self

    def _check_attention(self, grid: AttentionGrid) -> None:
        found = find(self.loop.outputs, grid.tensor, "attention.tensor")
        wanted = (-1, grid.height * grid.width)
        if grid.tensor not in self.loop.emit or (found.datatype, found.shape) != ("FP32", wanted):
            raise ValueError(
                f"attention.tensor {grid.tensor!r} is {found.datatype} {list(found.shape)}; "
                f"it must be an emitted tensor, FP32 {list(wanted)}"
            )
