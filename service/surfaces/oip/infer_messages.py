"""An inference request and its response, as the Open Inference Protocol has them: alike for REST and gRPC."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from service.engine import Model
from service.engine.tensors import Tensor, Tensors
from service.errors import InvalidArgument
from service.package.graph import MAX_TENSORS
from service.surfaces.oip.tensors import listed_tensor, raw_tensor

# Of a name that a message may repeat.
MAX_NAME = 128


class InferInput(NamedTuple):
    """One input as it was sent: ``raw`` bytes, or else a flat or nested list of ``values``."""

    name: str
    datatype: str
    shape: Sequence[int]
    raw: bytes | memoryview | None = None
    values: Sequence[Any] = ()


class RequestedOutput(NamedTuple):
    """One output that is asked for, with the parameters that say how to answer it."""

    name: str
    parameters: Mapping[str, Any]


class InferRequest(NamedTuple):
    """A request to one model; without ``outputs`` it asks for all of them.

    It is ``large`` if its values are so many that reading them takes tens of milliseconds.
    """

    model: Model
    id: str
    inputs: Sequence[InferInput]
    outputs: Sequence[RequestedOutput]
    parameters: Mapping[str, Any]
    large: bool = False

    def tensors(self) -> dict[str, Tensor]:
        """The inputs by name.

        Raises:
            InvalidArgument: an input appears twice, or is not what its datatype and shape say.
        """
        tensors: dict[str, Tensor] = {}
        for name, datatype, shape, raw, values in self.inputs:
            if len(name) > MAX_NAME:
                raise _name_refusal("input", name)
            if name in tensors:
                raise InvalidArgument(f"input {name!r} appears twice; once is allowed")
            if raw is not None:
                tensors[name] = raw_tensor(name, datatype, shape, raw)
            else:
                tensors[name] = listed_tensor(name, datatype, shape, values)
        return tensors

    def output_names(self) -> tuple[str, ...]:
        """The outputs that are asked for, in order; none for all.

        Raises:
            InvalidArgument: an output appears twice.
        """
        if not self.outputs:
            return ()
        names: dict[str, None] = {}
        for name, _ in self.outputs:
            if len(name) > MAX_NAME:
                raise _name_refusal("output", name)
            if name in names:
                raise InvalidArgument(f"output {name!r} appears twice; once is allowed")
            names[name] = None
        return tuple(names)


class InferResponse(NamedTuple):
    """One answer to a request.

    ``seed`` is where a loop's random numbers came from, None where there are none; ``step`` counts a loop's answers
    from 1, None for a graph's; ``final`` says that no other answer follows.
    """

    model: Model
    id: str
    outputs: Tensors
    seed: int | None = None
    step: int | None = None
    final: bool = True


def check_tensor_count(kind: str, count: int) -> None:
    """Check that a request may name so many inputs, or outputs.

    Raises:
        InvalidArgument: no model has so many.
    """
    if count > MAX_TENSORS:
        raise InvalidArgument(f"the request has {count} {kind}s; at most {MAX_TENSORS} are allowed")


def _name_refusal(kind: str, name: str) -> InvalidArgument:
    return InvalidArgument(f"an {kind} name has {len(name)} characters; at most {MAX_NAME} are allowed")
