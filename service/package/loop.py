"""The loop of a step model: which output feeds which input, what is emitted, and when it ends.

A step graph runs repeatedly, one step for all rows at a time. Each of its inputs has one source:

=========  ===================================================================================================
state      the output of the row's step before; first a number, a random draw, the request's or the encoder's tensor
encoder    an output of the encoder, which runs once for a request
request    the request's tensor, the same at every step
draw       random numbers, new at every step, from the row's own generator
schedule   ``first + (last - first) * (k + offset) / n`` at step k of the request's n, rounded for integers
chosen     the token that the engine chose by the row's log-probabilities, as the loop's ``choice`` says
=========  ===================================================================================================

For example, a caption's token is chosen and its image features come from the encoder; a diffusion step's latent is a
state that is drawn first, its noise a draw, and its timesteps a schedule: n of 1,000 steps if the request asks for n. A
graph may also choose the token itself and feed it back as a state; then it does so in the same way for every request.
"""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.package.graph import (
    MAX_TENSORS,
    FileName,
    Finite,
    Frozen,
    Graph,
    IntegerParameter,
    TensorName,
    TensorSpec,
    Words,
    check_numbers,
    find,
)
from service.package.token_choice import CHOSEN, SCORE, TOKEN, TokenChoice

# A whole number that a 64-bit tensor can hold, or any finite number.
Number = Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | Finite
Names = Annotated[tuple[TensorName, ...], Field(max_length=MAX_TENSORS)]
# The largest number of each floating-point type.
_LARGEST = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}


class Fill(Frozen):
    """One number for all values."""

    kind: Literal["fill"]
    value: Number = 0


class Draw(Frozen):
    """Numbers from the row's generator: standard normal, or uniform in [0, 1)."""

    kind: Literal["draw"]
    distribution: Literal["normal", "uniform"]


class FromRequest(Frozen):
    """The request's tensor with the input's name; it may be left out if there is a ``default``."""

    kind: Literal["request"]
    default: Number | None = None


class FromEncoder(Frozen):
    """An output of the encoder."""

    kind: Literal["encoder"]
    output: TensorName


class State(Frozen):
    """The step's own ``output``, fed back."""

    kind: Literal["state"]
    output: TensorName
    initial: Annotated[Fill | Draw | FromRequest | FromEncoder, Field(discriminator="kind")]


class Schedule(Frozen):
    """A number that moves from ``first`` to ``last``; ``offset`` 1 gives the next step's number."""

    kind: Literal["schedule"]
    first: Number
    last: Number
    offset: Literal[0, 1] = 0


class Chosen(Frozen):
    """The token that the engine chose last."""

    kind: Literal["chosen"]
    initial: Annotated[Fill | FromRequest, Field(discriminator="kind")]


Source = Annotated[State | FromEncoder | FromRequest | Draw | Schedule | Chosen, Field(discriminator="kind")]
StepCount = Annotated[int, Field(ge=1, le=1_000_000)]


class Steps(IntegerParameter):
    """The number of steps of a request: the default and the range that it may ask for."""

    default: StepCount
    minimum: StepCount = 1
    maximum: StepCount


class End(Frozen):
    """A row ends before its last step when this output of it, a single number, equals ``value``.

    The output may be the ``token`` of a choice; with beams it must be.
    """

    output: TensorName
    value: Number


class Text(Frozen):
    """The words of an emitted ``output``: a token is the number, from 0, of its line in the file ``vocabulary``.

    ``separator`` is put between two pieces; the token that ends a row has no piece.
    """

    output: TensorName
    vocabulary: FileName
    separator: Words = ""


class Loop(Frozen):
    """A step graph, its sources, and optionally an encoder.

    ``emit`` are the outputs sent to the caller at every step, ``answer`` those of a row's last step. A row that
    has ended repeats its last values while other rows of its request continue. Beam search knows its hypotheses only
    at its end: it then emits them step by step, each as a row, the best first.
    """

    encoder: Graph | None = None
    step: Graph
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
        for graph in (self.step, self.encoder):
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
        return self

    def _check_choice(self, fed: set[str]) -> None:
        chosen = [name for name, source in self.sources.items() if isinstance(source, Chosen)]
        if len(chosen) != (self.choice is not None):
            raise ValueError(f"chosen sources are {chosen}; there must be one with a choice, and none without")
        if self.choice is None:
            return
        self.choice.check(self.step, fed, (*self.emit, *self.answer))
        tensor, tokens = find(self.step.inputs, chosen[0], "chosen"), self.choice.tokens(self.step)
        if "INT" not in tensor.datatype or tensor.shape[1:] not in ((), (1,)) or not _holds(tensor, tokens - 1):
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
            self._check_end(self.end)
        if self.text is not None:
            self._check_text(self.text)

    def _check_end(self, end: End) -> None:
        output = find(self.given, end.output, "end.output")
        if output.shape[1:] not in ((), (1,)):
            raise ValueError(f"end.output {end.output!r} is {list(output.shape)}; it must be one number per row")
        if not _holds(output, end.value):
            raise ValueError(f"end.value is {end.value}, which {output.datatype} cannot hold")

    def _check_text(self, text: Text) -> None:
        tokens = find(self.given, text.output, "text.output")
        if text.output not in self.emit or "INT" not in tokens.datatype or tokens.shape[1:] not in ((), (1,)):
            raise ValueError(f"text.output {text.output!r} must be an emitted output of one whole number per row")
        if self.end is not None and self.end.output != text.output:
            raise ValueError(
                f"end.output is {self.end.output!r} and text.output is {text.output!r}; they must be the same"
            )

    def _check_source(self, tensor: TensorSpec, source: Source) -> None:
        where = f"the source of {tensor.name!r}"
        initial = beginning(source)
        if isinstance(source, State):
            _same(tensor, find(self.step.outputs, source.output, where), where)
        if isinstance(initial, FromEncoder):
            _same(tensor, find(self.encoder.outputs if self.encoder else (), initial.output, where), where)
        if isinstance(initial, Draw) and tensor.datatype not in ("FP32", "FP64"):
            raise ValueError(f"{where} draws {tensor.datatype}; only FP32 and FP64 can be drawn")
        if isinstance(initial, FromRequest) and tensor.name in {t.name for t in self.encoder_inputs}:
            raise ValueError(f"{where} is the request's tensor {tensor.name!r}, which is an input of the encoder")
        if isinstance(source, Schedule) and tensor.shape[1:] not in ((), (1,)):
            raise ValueError(
                f"{where} is a schedule, which gives one number per row; its shape is {list(tensor.shape)}"
            )
        for value in _numbers(source) + _numbers(initial):
            if not _holds(tensor, value):
                raise ValueError(f"{where} has the number {value}, which {tensor.datatype} cannot hold")

    @property
    def files(self) -> tuple[str, ...]:
        """The ONNX files."""
        return (self.step.file,) if self.encoder is None else (self.encoder.file, self.step.file)

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
        """The outputs that a caller gets."""
        return tuple(tensor for tensor in self.given if tensor.name in (*self.emit, *self.answer))

    @property
    def end_token(self) -> int | None:
        """The token whose choice ends a row; None if there is none."""
        return int(self.end.value) if self.end is not None and self.choice and self.end.output == TOKEN.name else None

    @property
    def max_batch(self) -> int:
        """The most rows of one step."""
        return self.step.max_batch


def beginning(source: Source) -> Source | Fill:
    """The source of an input at a row's first step."""
    return source.initial if isinstance(source, State | Chosen) else source


def _same(wanted: TensorSpec, found: TensorSpec, where: str) -> None:
    if (wanted.datatype, wanted.shape) != (found.datatype, found.shape):
        raise ValueError(
            f"{where} is {found.name!r}, {found.datatype} {list(found.shape)}; "
            f"it must be {wanted.datatype} {list(wanted.shape)}"
        )


def _numbers(source: object) -> list[Number]:
    """The numbers that a source writes into its tensor."""
    if isinstance(source, Schedule):
        return [source.first, source.last]
    if isinstance(source, Fill):
        return [source.value]
    return [source.default] if isinstance(source, FromRequest) and source.default is not None else []


def _holds(tensor: TensorSpec, value: Number) -> bool:
    if tensor.datatype in _LARGEST:
        return abs(value) <= _LARGEST[tensor.datatype]
    if tensor.datatype == "BOOL":
        return value in (0, 1)
    unsigned, bits = tensor.datatype.split("INT")
    low, high = (0, 1 << int(bits)) if unsigned else (-1 << int(bits) - 1, 1 << int(bits) - 1)
    return value == int(value) and low <= value < high
