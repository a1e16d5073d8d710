"""One ONNX file of a package: its tensors, and how many rows a run of it may hold."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"
]
# A plain file name: no folder, no leading dot, so that no card reaches outside its own folder.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
Positive = Annotated[int, Field(gt=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Frozen(BaseModel):
    """Immutable, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IntegerParameter(Frozen):
    """Default and inclusive range of an integer request parameter."""

    default: int
    minimum: int
    maximum: int

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

    name: str
    datatype: Datatype
    shape: tuple[Annotated[int, Field(ge=-1)], ...]


class Graph(Frozen):
    """One ONNX file, run once for a request.

    Every input and output has the batch as its first dimension, -1, or 1 where ``max_batch`` is 1. A graph with
    ``max_batch`` 0 has no batch dimension: each request is a run of its own.
    """

    file: FileName
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    max_batch: Annotated[int, Field(ge=0, description="Most rows one run may hold.")]

    @model_validator(mode="after")
    def _batch_first(self) -> "Graph":
        allowed = ((-1,), (1,)) if self.max_batch == 1 else ((-1,),)
        for tensor in (*self.inputs, *self.outputs):
            if self.max_batch and tensor.shape[:1] not in allowed:
                raise ValueError(f"{tensor.name!r} is {list(tensor.shape)}; its first dimension is the batch, -1")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """The ONNX files."""
        return (self.file,)


def find(tensors: Iterable[TensorSpec], name: str, where: str) -> TensorSpec:
    """The tensor of that name.

    Raises:
        ValueError: there is none; ``where`` says whose word it is.
    """
    tensors = tuple(tensors)
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    raise ValueError(f"{where} is {name!r}, the graph has {[tensor.name for tensor in tensors]}")
