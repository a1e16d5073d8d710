"""One ONNX file of a package: its tensors, and the most rows of a run.

Every number, text and list of a card has an upper limit, far above real packages' values: a card is untrusted input.
"""

from collections.abc import Iterable
from math import prod
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# As the Open Inference Protocol names them; BYTES are ONNX's strings, texts in UTF-8.
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
# A plain file name: no folder, no leading dot, so that no card reaches outside its own folder.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
# The largest whole number that every JSON reader represents exactly.
MAX_INTEGER = 2**53 - 1
MAX_ROWS = 1 << 14
MAX_TENSORS = 4096
MAX_DIMENSIONS = 32
MAX_DIMENSION = 2**31 - 1
# The bytes of the inputs and outputs of one run, or of a loop's slots, at ``max_batch`` rows; a free size counts as 1.
MAX_RUN_BYTES = 2 << 30
MAX_SIDE = 8192

Integer = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Positive = Annotated[int, Field(gt=0, le=MAX_INTEGER)]
Side = Annotated[int, Field(gt=0, le=MAX_SIDE, description="Pixels, or places of a map.")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
TensorName = Annotated[str, StringConstraints(max_length=1024)]
Words = Annotated[str, StringConstraints(max_length=100_000)]
# A text counts as a pointer: it may have any length.
_BYTES: dict[str, int] = {"BOOL": 1, "FP16": 2, "FP32": 4, "FP64": 8, "BYTES": 8} | {
    f"{sign}INT{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64)
}


class Frozen(BaseModel):
    """Immutable, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IntegerParameter(Frozen):
    """Default and inclusive range of an integer request parameter."""

    default: Integer
    minimum: Integer
    maximum: Integer

    @model_validator(mode="after")
    def _default_in_range(self) -> Self:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default} is outside {self.minimum}..{self.maximum}")
        return self


class NumberParameter(Frozen):
    """Default and inclusive range of a request parameter that is any number."""

    default: Finite
    minimum: Finite
    maximum: Finite

    @model_validator(mode="after")
    def _default_in_range(self) -> Self:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default:g} is outside {self.minimum:g}..{self.maximum:g}")
        return self


class TensorSpec(Frozen):
    """One input or output of a graph; ``shape`` includes the batch dimension, -1 means any size."""

    name: TensorName
    datatype: Datatype
    shape: Annotated[tuple[Annotated[int, Field(ge=-1, le=MAX_DIMENSION)], ...], Field(max_length=MAX_DIMENSIONS)]

    def bytes_of(self, rows: int) -> int:
        """The bytes of ``rows`` rows, or of the whole tensor if ``rows`` is 0; a free dimension counts as 1."""
        dims = [rows, *self.shape[1:]] if rows else self.shape
        return prod(map(abs, dims)) * _BYTES[self.datatype]


class Graph(Frozen):
    """One ONNX file, run once for a request.

    Every input and output has the batch as its first dimension, -1, or 1 if ``max_batch`` is 1. A graph with
    ``max_batch`` 0 has no batch dimension: each request is a run of its own.
    """

    file: FileName
    inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=MAX_TENSORS)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=MAX_TENSORS)
    max_batch: Annotated[int, Field(ge=0, le=MAX_ROWS, description="Most rows one run may hold.")]

    @model_validator(mode="after")
    def _batch_first(self) -> "Graph":
        allowed = ((-1,), (1,)) if self.max_batch == 1 else ((-1,),)
        for tensor in (*self.inputs, *self.outputs):
            if self.max_batch and tensor.shape[:1] not in allowed:
                raise ValueError(f"{tensor.name!r} is {list(tensor.shape)}; its first dimension is the batch, -1")
        return self

    @model_validator(mode="after")
    def _fits_in_memory(self) -> "Graph":
        wanted = sum(tensor.bytes_of(self.max_batch) for tensor in (*self.inputs, *self.outputs))
        if wanted > MAX_RUN_BYTES:
            raise ValueError(
                f"a run of max_batch {self.max_batch} takes {wanted} bytes of inputs and outputs; "
                f"at most {MAX_RUN_BYTES} are allowed"
            )
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """The ONNX files."""
        return (self.file,)


def check_numbers(*tensors: TensorSpec) -> None:
    """Check that none of the tensors holds texts.

    Raises:
        ValueError: one does; the message has its name.
    """
    for tensor in tensors:
        if tensor.datatype == "BYTES":
            raise ValueError(f"{tensor.name!r} is BYTES; it must be a numeric datatype")


def find(tensors: Iterable[TensorSpec], name: str, where: str) -> TensorSpec:
    """The tensor called ``name``.

    Raises:
        ValueError: there is none; ``where`` is the field of the card that names it, for the message.
    """
    tensors = tuple(tensors)
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    raise ValueError(f"{where} is {name!r}; the graph has {[tensor.name for tensor in tensors]}")
