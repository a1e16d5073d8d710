"""The loop of a step model: which output feeds which input, what is emitted, and when it ends.

A step graph runs repeatedly, one step for all rows at a time. `service.package.sources` says where its inputs may come
from.

For example, a caption's token is chosen and its image features come from the encoder; a diffusion step's latent is a
state that is drawn first, its noise a draw, and its timesteps a schedule: n of 1,000 steps if the request asks for n. A
graph may also choose the token itself and feed it back as a state; then it does so in the same way for every request.

A decoder makes of what the steps give what the caller gets, such as pictures of latents.
"""

from functools import cached_property
from typing import Annotated

from pydantic import Field, model_validator

from service.package.graph import (
    MAX_TENSORS,
    Frozen,
    Graph,
    IntegerParameter,
    TensorName,
    TensorSpec,
    check_numbers,
    find,
)
from service.package.loop_outputs import End, Text, check_decoder, check_same
from service.package.sources import (
    Chosen,
    Draw,
    FromEncoder,
    FromRequest,
    Number,
    Schedule,
    Source,
    State,
    beginning,
    holds,
    numbers_of,
)
from service.package.token_choice import CHOSEN, SCORE, TOKEN, TokenChoice

Names = Annotated[tuple[TensorName, ...], Field(max_length=MAX_TENSORS)]
StepCount = Annotated[int, Field(ge=1, le=1_000_000)]


class Steps(IntegerParameter):
    """The number of steps of a request: the default and the range that it may ask for."""

    default: StepCount
    minimum: StepCount = 1
    maximum: StepCount


class Loop(Frozen):
    """A step graph, its sources, and optionally an encoder and a decoder.

    ``emit`` are the outputs sent to the caller at every step, ``answer`` those of a row's last step. A row that
    has ended repeats its last values while other rows of its request continue. Beam search knows its hypotheses only
    at its end: it then emits them step by step, each as a row, the best first.

    The inputs of the ``decoder`` are outputs in ``emit``, and then it runs on each emission; or one of them is in
    ``answer`` only, and then it runs once, after the last step. Callers get its outputs in place of its inputs.
    """

    encoder: Graph | None = None
    step: Graph
    decoder: Graph | None = None
    sources: dict[TensorName, Source] = Field(
        max_length=MAX_TENSORS, description="One for each input of the step graph."
    )
    emit: Names = ()
    answer: Names = ()
    steps: Steps
    choice: TokenChoice | None = None
    end: End | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Loop":
        inputs = [tensor.name for tensor in self.step.inputs]
        if sorted(inputs) != sorted(self.sources):
            raise ValueError(f"sources has {sorted(self.sources)}; the step graph's inputs are {sorted(inputs)}")
        for graph in (self.step, self.encoder, self.decoder):
            if graph and not graph.max_batch:
                raise ValueError("max_batch is 0; the graphs of a loop have a batch dimension")
            check_numbers(*(graph.inputs + graph.outputs if graph else ()))
        for tensor in (*self.step.inputs, *self.step.outputs):
            if -1 in tensor.shape[1:]:
                raise ValueError(f"step tensor {tensor.name!r} is {list(tensor.shape)}; only the batch may vary")
        for tensor in self.step.inputs:
            self._check_source(tensor, self.sources[tensor.name])
        fed = [source.output for source in self.sources.values() if isinstance(source, State)]
        if len(set(fed)) < len(fed):
            raise ValueError(f"states are fed from {sorted(fed)}; each needs an output of its own")
        self._check_choice(set(fed))
        self._check_outputs()
        if self.decoder is not None:
            told = [tensor for tensor in self.given if tensor.name in (*self.emit, *self.answer)]
            check_decoder(self.decoder, self.given, told, self.text)
        return self

    def _check_choice(self, fed: set[str]) -> None:
        chosen = [name for name, source in self.sources.items() if isinstance(source, Chosen)]
        if len(chosen) != (self.choice is not None):
            raise ValueError(f"chosen sources are {chosen}; there must be one with a choice, and none without")
        if self.choice is None:
            return
        self.choice.check(self.step, fed, (*self.emit, *self.answer))
        tensor, tokens = find(self.step.inputs, chosen[0], "chosen"), self.choice.tokens(self.step)
        if "INT" not in tensor.datatype or tensor.shape[1:] not in ((), (1,)) or not holds(tensor, tokens - 1):
            raise ValueError(
                f"{tensor.name!r} is {tensor.datatype} {list(tensor.shape)}, which cannot hold its source, a token "
                f"below {tokens}"
            )
        self._check_end_of(self.choice, range(tokens))

    def _check_end_of(self, choice: TokenChoice, tokens: range) -> None:
        if self.end is None:
            return
        if self.end.output != TOKEN.name:
            if choice.beam is not None:
                raise ValueError(f"end.output is {self.end.output!r}; with beams it must be {TOKEN.name!r}")
        elif self.end.value in choice.never or self.end.value not in tokens:
            raise ValueError(f"end.value is {self.end.value}; it must be a token that may be chosen")

    def _check_outputs(self) -> None:
        for name in (*self.emit, *self.answer):
            find(self.given, name, "emit and answer: an output")
        if not self.emit and not self.answer:
            raise ValueError("emit and answer are empty; a loop needs an output in one of them")
        if SCORE in self.given and SCORE.name in self.emit:
            raise ValueError(f"emit has {SCORE.name!r}, which is known only at a row's end; it may be in answer only")
        if self.end is not None:
            self.end.check(self.given)
        if self.text is not None:
            self.text.check(self.given, self.emit, self.end)

    def _check_source(self, tensor: TensorSpec, source: Source) -> None:
        where = f"the source of {tensor.name!r}"
        initial = beginning(source)
        if isinstance(source, State):
            check_same(tensor, find(self.step.outputs, source.output, where), where)
        if isinstance(initial, FromEncoder):
            check_same(tensor, find(self.encoder.outputs if self.encoder else (), initial.output, where), where)
        if isinstance(initial, Draw) and tensor.datatype not in ("FP32", "FP64"):
            raise ValueError(f"{where} draws {tensor.datatype}; only FP32 and FP64 can be drawn")
        if isinstance(initial, FromRequest) and tensor.name in {t.name for t in self.encoder_inputs}:
            raise ValueError(f"{where} is the request's tensor {tensor.name!r}, which is an input of the encoder")
        if isinstance(source, Schedule) and tensor.shape[1:] not in ((), (1,)):
            raise ValueError(
                f"{where} is a schedule, which gives one number per row; its shape is {list(tensor.shape)}"
            )
        for value in numbers_of(source) + numbers_of(initial):
            if not holds(tensor, value):
                raise ValueError(f"{where} has the number {value}, which {tensor.datatype} cannot hold")

    @property
    def files(self) -> tuple[str, ...]:
        """The ONNX files."""
        return tuple(graph.file for graph in (self.encoder, self.step, self.decoder) if graph is not None)

    @property
    def encoder_inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs of the encoder."""
        return self.encoder.inputs if self.encoder else ()

    @cached_property
    def defaults(self) -> dict[str, Number | None]:
        """The request's tensors for the step graph, with their defaults; None if a tensor may not be left out."""
        found: dict[str, Number | None] = {}
        for name, source in self.sources.items():
            initial = beginning(source)
            if isinstance(initial, FromRequest):
                found[name] = initial.default
        return found

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors of a request, including those that it may leave out."""
        return (*self.encoder_inputs, *(tensor for tensor in self.step.inputs if tensor.name in self.defaults))

    @property
    def given(self) -> tuple[TensorSpec, ...]:
        """The outputs of a step: the graph's, followed by those of the choice."""
        return (*self.step.outputs, *(CHOSEN if self.choice else ()))

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that a caller gets: those of the steps, without the decoder's inputs, and the decoder's."""
        steps = (tensor for tensor in self.given if tensor.name in (*self.emit, *self.answer))
        if self.decoder is None:
            return tuple(steps)
        decoded = {tensor.name for tensor in self.decoder.inputs}
        return (*(tensor for tensor in steps if tensor.name not in decoded), *self.decoder.outputs)

    @cached_property
    def emitted(self) -> tuple[str, ...]:
        """The names of the outputs that a caller gets of every step that is emitted."""
        if self.decoder is None:
            return self.emit
        decoded = [tensor.name for tensor in self.decoder.inputs]
        kept = tuple(name for name in self.emit if name not in decoded)
        every = all(name in self.emit for name in decoded)
        return (*kept, *(tensor.name for tensor in self.decoder.outputs if every))

    def step_outputs(self, requested: tuple[str, ...]) -> tuple[str, ...]:
        """The outputs of the steps that are needed to give the ``requested`` outputs."""
        if self.decoder is None or not any(tensor.name in requested for tensor in self.decoder.outputs):
            return requested
        decoded, made = self.decoder.inputs, {tensor.name for tensor in self.decoder.outputs}
        kept = (name for name in requested if name not in made)
        return tuple(dict.fromkeys((*kept, *(tensor.name for tensor in decoded))))

    @property
    def end_token(self) -> int | None:
        """The token whose choice ends a row; None if there is none."""
        return int(self.end.value) if self.end is not None and self.choice and self.end.output == TOKEN.name else None

    @property
    def max_batch(self) -> int:
        """The most rows of one step."""
        return self.step.max_batch
