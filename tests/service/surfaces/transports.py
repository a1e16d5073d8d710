"""Tensor requests over REST and gRPC, behind the same call; and what all transports of the tests share."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol

import grpc
import httpx
import numpy as np
import orjson
from google.protobuf.json_format import ParseDict
from numpy.typing import NDArray

from protos import open_inference_pb2 as pb
from protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from service.engine.tensors import DATATYPES, DTYPES
from tests.serving import Server

TIMEOUT_S = 30
JSON_LENGTH = "Inference-Header-Content-Length"
# What each HTTP status is called in gRPC.
CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    409: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class Refused(Exception):
    """The server's error: the gRPC name of its status and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Input(NamedTuple):
    """An input as it is announced, which need not be what it is."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: NDArray[Any]


class Answer(NamedTuple):
    """An inference answer; ``outputs`` in the order they came."""

    model: str
    version: str
    id: str
    outputs: dict[str, NDArray[Any]]


def tensor(values: NDArray[Any], name: str = "image") -> Input:
    """An input announced as what it is."""
    return Input(name, DATATYPES[values.dtype], values.shape, values)


class TensorTransport(Protocol):
    """One way to ask for tensors."""

    surface: str

    def infer(
        self, model: str, inputs: Sequence[Input], *, version: str = "", outputs: Sequence[str] = (), id: str = ""
    ) -> Answer:
        """Raises `Refused`."""

    def close(self) -> None: ...


@dataclass
class Rest:
    """The Open Inference Protocol over REST; ``binary`` inputs and outputs, or all of it JSON."""

    server: Server
    binary: bool = False
    surface: str = "oip_rest"

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.server.rest, timeout=TIMEOUT_S)

    def infer(
        self, model: str, inputs: Sequence[Input], *, version: str = "", outputs: Sequence[str] = (), id: str = ""
    ) -> Answer:
        message: dict[str, Any] = {"inputs": [self._input(i) for i in inputs]}
        message |= {"id": id} if id else {}
        message |= {"outputs": [{"name": name} for name in outputs]} if outputs else {}
        message |= {"parameters": {"binary_data_output": True}} if self.binary else {}
        header = orjson.dumps(message)
        blobs = b"".join(wire(i.values) for i in inputs) if self.binary else b""
        return self.post(infer_path(model, version), header + blobs, {JSON_LENGTH: str(len(header))} if blobs else {})

    def post(self, path: str, body: bytes, headers: Mapping[str, str] = {}) -> Answer:
        return read_answer(self.client.post(path, content=body, headers=headers))

    def ready(self, model: str = "", version: str = "") -> bool:
        answer = self.client.get(f"{model_path(model, version)}/ready" if model else "/v2/health/ready")
        assert answer.json()["ready"] == (answer.status_code == 200)
        return answer.status_code == 200

    def live(self) -> bool:
        return bool(refuse_unless_ok(self.client.get("/v2/health/live")).json()["live"])

    def server_metadata(self) -> dict[str, Any]:
        return dict(refuse_unless_ok(self.client.get("/v2")).json())

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        return dict(refuse_unless_ok(self.client.get(model_path(model, version))).json())

    def model_config(self, model: str, version: str = "") -> pb.ModelConfig:
        found = refuse_unless_ok(self.client.get(f"{model_path(model, version)}/config")).json()
        return ParseDict(found, pb.ModelConfig())

    def statistics(self, model: str = "", version: str = "") -> list[pb.ModelStatistics]:
        path = f"{model_path(model, version)}/stats" if model else "/v2/models/stats"
        found = refuse_unless_ok(self.client.get(path)).json()
        return list(ParseDict(found, pb.ModelStatisticsResponse()).model_stats)

    def close(self) -> None:
        self.client.close()

    def _input(self, i: Input) -> dict[str, Any]:
        data = i.values.tolist() if i.values.ndim else [i.values.item()]
        form = {"parameters": {"binary_data_size": len(wire(i.values))}} if self.binary else {"data": data}
        return {"name": i.name, "datatype": i.datatype, "shape": list(i.shape), **form}


@dataclass
class Grpc:
    """The Open Inference Protocol over gRPC; ``raw`` input contents or typed ones."""

    server: Server
    raw: bool = True
    surface: str = "oip_grpc"

    def __post_init__(self) -> None:
        self.channel = open_channel(self.server)
        self.stub = GRPCInferenceServiceStub(self.channel)

    def infer(
        self, model: str, inputs: Sequence[Input], *, version: str = "", outputs: Sequence[str] = (), id: str = ""
    ) -> Answer:
        request = pb.ModelInferRequest(model_name=model, model_version=version, id=id)
        for i in inputs:
            entry = request.inputs.add(name=i.name, datatype=i.datatype, shape=i.shape)
            if self.raw:
                request.raw_input_contents.append(wire(i.values))
            else:
                values = i.values.ravel().tolist()
                contents = [value.encode() for value in values] if i.datatype == "BYTES" else values
                getattr(entry.contents, CONTENTS.get(i.datatype, "fp32_contents")).extend(contents)
        request.outputs.extend([pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs])
        return self.send(request)

    def send(self, request: pb.ModelInferRequest, timeout_s: float = TIMEOUT_S) -> Answer:
        answer = self._call("ModelInfer", request, timeout_s)
        assert not any(output.HasField("contents") for output in answer.outputs), "answers are raw, always"
        raw = zip(answer.outputs, answer.raw_output_contents, strict=True)
        outputs = {o.name: from_wire(data, o.datatype).reshape(o.shape) for o, data in raw}
        return Answer(answer.model_name, answer.model_version, answer.id, outputs)

    def ready(self, model: str = "", version: str = "") -> bool:
        if model:
            return bool(self._call("ModelReady", pb.ModelReadyRequest(name=model, version=version)).ready)
        return bool(self._call("ServerReady", pb.ServerReadyRequest()).ready)

    def live(self) -> bool:
        return bool(self._call("ServerLive", pb.ServerLiveRequest()).live)

    def server_metadata(self) -> dict[str, Any]:
        found = self._call("ServerMetadata", pb.ServerMetadataRequest())
        return {"name": found.name, "version": found.version, "extensions": list(found.extensions)}

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        found = self._call("ModelMetadata", pb.ModelMetadataRequest(name=model, version=version))
        tensors = {
            kind: [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in getattr(found, kind)]
            for kind in ("inputs", "outputs")
        }
        return {"name": found.name, "versions": list(found.versions), "platform": found.platform, **tensors}

    def model_config(self, model: str, version: str = "") -> pb.ModelConfig:
        found: pb.ModelConfig = self._call("ModelConfig", pb.ModelConfigRequest(name=model, version=version)).config
        return found

    def statistics(self, model: str = "", version: str = "") -> list[pb.ModelStatistics]:
        request = pb.ModelStatisticsRequest(name=model, version=version)
        return list(self._call("ModelStatistics", request).model_stats)

    def close(self) -> None:
        self.channel.close()

    def _call(self, method: str, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=timeout_s)
        except grpc.RpcError as error:
            refuse(error)


def wire(values: NDArray[Any]) -> bytes:
    """The elements as they go over the wire, a text with its length in 4 bytes before it."""
    if values.dtype.kind != "O":
        return values.tobytes()
    encoded = [value.encode() for value in values.ravel()]
    return b"".join(struct.pack("<I", len(value)) + value for value in encoded)


def from_wire(data: bytes, datatype: str) -> NDArray[Any]:
    """The elements, in one dimension."""
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype])  # type: ignore[index]  # the server's own spelling
    texts: list[str] = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return np.array(texts, object)


def open_channel(server: Server) -> grpc.Channel:
    """A connection of its own, whatever other channels there are."""
    return grpc.insecure_channel(server.grpc, options=[("grpc.use_local_subchannel_pool", 1)])


def model_path(model: str, version: str = "") -> str:
    return f"/v2/models/{model}" + (f"/versions/{version}" if version else "")


def infer_path(model: str, version: str = "") -> str:
    return model_path(model, version) + "/infer"


def refuse_unless_ok(response: httpx.Response) -> httpx.Response:
    """The response, if its status is 200.

    Raises:
        Refused: it is another; the body is then JSON with the one key ``error``.
    """
    if response.status_code == 200:
        return response
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    raise Refused(CODES[response.status_code], response.json()["error"])


def refuse(error: grpc.RpcError) -> NoReturn:
    """Raises `Refused` for a failed call."""
    call: Any = error  # it is one, says the library's documentation, though not its types
    raise Refused(call.code().name, call.details()) from error


def read_answer(response: httpx.Response) -> Answer:
    """The answer in a REST response, its binary outputs read by their order and announced size."""
    body = refuse_unless_ok(response).content
    length = response.headers.get(JSON_LENGTH)
    kind = "application/octet-stream" if length else "application/json"
    assert response.headers["content-type"] == kind
    at = int(length) if length else len(body)
    message = orjson.loads(body[:at])
    outputs = {}
    for output in message["outputs"]:
        dtype, shape = DTYPES[output["datatype"]], output["shape"]
        if "data" in output:
            assert "parameters" not in output
            outputs[output["name"]] = np.array(output["data"], dtype).reshape(shape)
        else:
            size = output["parameters"]["binary_data_size"]
            outputs[output["name"]] = from_wire(body[at : at + size], output["datatype"]).reshape(shape)
            at += size
    assert at == len(body), "nothing follows the last output"
    return Answer(message["model_name"], message["model_version"], message.get("id", ""), outputs)
