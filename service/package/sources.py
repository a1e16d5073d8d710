"""Where an input of a step graph comes from; each has one source.

=========  ===================================================================================================
state      the output of the row's step before; first a number, a random draw, the request's or the encoder's tensor
encoder    an output of the encoder, which runs once for a request
request    the request's tensor, the same at every step
draw       random numbers, new at every step, from the row's own generator
schedule   ``first + (last - first) * (k + offset) / n`` at step k of the request's n, rounded for integers
chosen     the token that the engine chose by the row's log-probabilities, as the loop's ``choice`` says
=========  ===================================================================================================
"""

from typing import Annotated, Literal

from pydantic import Field

from service.package.graph import Finite, Frozen, TensorName, TensorSpec

# A whole number that a 64-bit tensor can hold, or any finite number.
Number = Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | Finite
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


def beginning(source: Source) -> Source | Fill:
    """The source of an input at a row's first step."""
    return source.initial if isinstance(source, State | Chosen) else source


def numbers_of(source: object) -> list[Number]:
    """The numbers that a source writes into its tensor."""
    if isinstance(source, Schedule):
        return [source.first, source.last]
    if isinstance(source, Fill):
        return [source.value]
    return [source.default] if isinstance(source, FromRequest) and source.default is not None else []


def holds(tensor: TensorSpec, value: Number) -> bool:
    """Whether the tensor's datatype can hold the number."""
    if tensor.datatype in _LARGEST:
        return abs(value) <= _LARGEST[tensor.datatype]
    if tensor.datatype == "BOOL":
        return value in (0, 1)
    unsigned, bits = tensor.datatype.split("INT")
    low, high = (0, 1 << int(bits)) if unsigned else (-1 << int(bits) - 1, 1 << int(bits) - 1)
    return value == int(value) and low <= value < high
