"""Callers of gRPC streams that send and read when the test says so."""

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from protos import open_inference_pb2 as pb
from service.engine.tensors import DATATYPES, DTYPES
from tests.service.surfaces.transports import TIMEOUT_S, open_channel, refuse
from tests.serving import Server

Inputs = Mapping[str, NDArray[Any]]
NONE: Inputs = MappingProxyType({})
Response = TypeVar("Response")
METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"


class Said(NamedTuple):
    """One response: ``error`` is "" or the message, ``parameters`` their values."""

    id: str
    error: str
    outputs: dict[str, NDArray[Any]]
    parameters: dict[str, Any]

    @property
    def final(self) -> bool:
        return bool(self.parameters["triton_final_response"])


class StreamCall(Generic[Response]):
    """A call whose requests and responses are streams, on a connection of its own.

    Leaving the block cancels it, if it has not ended; ``read_response`` makes a response of its bytes.
    """

    def __init__(
        self,
        server: Server,
        method: str,
        read_response: Callable[[bytes], Response],
        timeout_s: float = TIMEOUT_S,
        **metadata: str,
    ) -> None:
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        self._channel = open_channel(server)
        called: Any = self._channel.stream_stream(method, response_deserializer=read_response)
        self.call: Any = called(iter(self._requests.get, None), timeout=timeout_s, metadata=tuple(metadata.items()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._requests.put(None)
        self.call.cancel()
        self._channel.close()

    def send(self, data: bytes) -> None:
        self._requests.put(data)

    def hang_up_sending(self) -> None:
        """Half-close."""
        self._requests.put(None)

    def read(self) -> Response:
        """The next response.

        Raises:
            Refused: the call has ended with a status.
        """
        try:
            response: Response = next(self.call)
        except grpc.RpcError as error:
            refuse(error)
        return response

    def read_all(self) -> list[Response]:
        """Half-close, and read to the end."""
        self.hang_up_sending()
        return list(self)

    def read_on(self) -> None:
        """Read to the end, and keep nothing."""
        for _ in self:
            pass

    def __iter__(self) -> Iterator[Response]:
        while True:
            try:
                yield self.read()
            except StopIteration:
                return


class Conversation(StreamCall[Said]):
    """A call of ModelStreamInfer."""

    def __init__(self, server: Server, timeout_s: float = TIMEOUT_S, **metadata: str) -> None:
        super().__init__(server, METHOD, read_said, timeout_s, **metadata)

    def ask(
        self, model: str, id: str = "", outputs: Sequence[str] = (), *, inputs: Inputs = NONE, **parameters: Any
    ) -> None:
        """Send one request; ``inputs`` are arrays by name."""
        self.send(request(model, id, outputs, inputs=inputs, **parameters).SerializeToString())


def request(
    model: str, id: str = "", outputs: Sequence[str] = (), *, inputs: Inputs = NONE, **parameters: Any
) -> pb.ModelInferRequest:
    """Whole numbers become int64_param, but the priority: tritonclient sends it as uint64_param."""
    asked = pb.ModelInferRequest(model_name=model, id=id)
    for name, value in inputs.items():
        asked.inputs.add(name=name, datatype=DATATYPES[value.dtype], shape=value.shape)
        asked.raw_input_contents.append(value.tobytes())
    for name in outputs:
        asked.outputs.add(name=name)
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    for name, value in parameters.items():
        setattr(asked.parameters[name], "uint64_param" if name == "priority" else kinds[type(value)], value)
    return asked


def read_said(data: bytes) -> Said:
    response = pb.ModelStreamInferResponse.FromString(data)
    answer = response.infer_response
    raw = zip(answer.outputs, answer.raw_output_contents, strict=True)
    dtypes: Any = DTYPES
    outputs = {o.name: np.frombuffer(data, dtypes[o.datatype]).reshape(o.shape) for o, data in raw}
    chosen = {name: value.WhichOneof("parameter_choice") for name, value in answer.parameters.items()}
    parameters = {name: getattr(answer.parameters[name], choice or "") for name, choice in chosen.items()}
    return Said(answer.id, response.error_message, outputs, parameters)
