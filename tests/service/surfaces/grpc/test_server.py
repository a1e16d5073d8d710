"""The gRPC server around its services: health, reflection, limits, deadlines, strange bytes."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos import open_inference_pb2 as pb
from tests.bare_packages import adder, write_bare
from tests.packages import MAX_BATCH, example
from tests.service.surfaces.transports import Grpc, Refused, open_channel, tensor
from tests.serving import HOST, MAX_REQUEST_BYTES, Server, eventually

SERVICES = {"inference.GRPCInferenceService", "lectorium.v1.Vision"}
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with open_channel(server) as channel:
        yield channel


def health(channel: grpc.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("service", ["", *sorted(SERVICES)])
def test_health_says_serving_for_the_server_and_each_service(channel: grpc.Channel, service: str) -> None:
    assert health(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status == SERVING


def test_health_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health(channel).Check(health_pb2.HealthCheckRequest(service="nope"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_may_be_watched_and_tells_the_present_state_at_once(channel: grpc.Channel) -> None:
    watch = health(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)
    assert next(watch).status == SERVING
    watch.cancel()


def reflected(channel: grpc.Channel, **question: Any) -> Any:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    return next(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=10))


def test_reflection_lists_every_service(channel: grpc.Channel) -> None:
    listed = {service.name for service in reflected(channel, list_services="").list_services_response.service}
    assert listed == SERVICES | {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.mark.parametrize(
    ("symbol", "message"),
    [("inference.GRPCInferenceService", "ModelInferRequest"), ("lectorium.v1.Vision", "ClassifyRequest")],
)
def test_reflection_gives_the_messages_of_a_service(channel: grpc.Channel, symbol: str, message: str) -> None:
    answer = reflected(channel, file_containing_symbol=symbol)
    files = [FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto]
    assert message in {m.name for file in files for m in file.message_type}


def test_a_tensor_of_the_size_limit_is_read_and_not_cut_off(oip_grpc: Grpc) -> None:
    with pytest.raises(Refused, match=f"{MAX_REQUEST_BYTES} bytes; shape"):
        oip_grpc.send(
            pb.ModelInferRequest(
                model_name="tiny",
                inputs=[pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[1, 4, 4])],
                raw_input_contents=[bytes(MAX_REQUEST_BYTES)],
            )
        )


def test_a_message_over_the_limit_is_refused_with_both_sizes(oip_grpc: Grpc) -> None:
    with pytest.raises(Refused) as caught:
        oip_grpc.send(pb.ModelInferRequest(raw_input_contents=[bytes(2 * MAX_REQUEST_BYTES)]))
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert str(MAX_REQUEST_BYTES + (64 << 10)) in caught.value.message


def ended_in_time(server: Server) -> float:
    """The requests that ended at their caller's deadline, whichever side noticed it first."""
    reasons = ("cancelled", "deadline")
    return sum(server.metric("lectorium_rejections_total", surface="oip_grpc", reason=reason) for reason in reasons)


def test_a_callers_deadline_ends_its_call_and_drops_its_work(oip_grpc: Grpc) -> None:
    server, rows = oip_grpc.server, 200 * MAX_BATCH
    images = example(rows)
    run = server.metric("lectorium_batch_rows_sum", model="slow")
    ended = ended_in_time(server)
    request = pb.ModelInferRequest(
        model_name="slow",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=images.shape)],
        raw_input_contents=[images.tobytes()],
    )
    with pytest.raises(Refused) as caught:
        oip_grpc.send(request, timeout_s=0.2)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert eventually(lambda: server.metric("lectorium_in_flight_requests", surface="oip_grpc") == 0)
    assert server.metric("lectorium_queue_rows", model="slow") == 0
    assert ended_in_time(server) == ended + 1
    oip_grpc.infer("slow", [tensor(example(1))])
    assert server.metric("lectorium_batch_rows_sum", model="slow") - run < rows / 2


@pytest.mark.parametrize(
    "method", ["SystemSharedMemoryStatus", "CudaSharedMemoryRegister", "TraceSetting", "LogSettings", "Nope"]
)
def test_what_is_not_implemented_says_so(channel: grpc.Channel, method: str) -> None:
    call: Any = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", ["inference.GRPCInferenceService/ModelInfer", "lectorium.v1.Vision/Classify"])
@pytest.mark.parametrize(
    "noise", [b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe", b"\x00"], ids=bytes.hex
)
def test_bytes_that_are_no_message_are_refused(channel: grpc.Channel, method: str, noise: bytes) -> None:
    call: Any = channel.unary_unary(f"/{method}")
    with pytest.raises(grpc.RpcError) as caught:
        call(noise, timeout=10)
    details = caught.value.details() or ""
    if method.endswith("Classify") and noise == b"\x0a\x02\xff\xfe":
        assert "not an image" in details, "any bytes may stand where an image does"
    else:
        assert f"the request's {len(noise)} bytes cannot be read" in details
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


STRANGE = {
    "http 1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "noise": bytes(range(256)) * 100,
    "http 2 and noise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 99,
}


@pytest.mark.parametrize("strange", STRANGE)
def test_another_protocol_on_the_grpc_port_disturbs_no_call(oip_grpc: Grpc, strange: str) -> None:
    with socket.create_connection((HOST, oip_grpc.server.grpc_port), timeout=10) as connection:
        connection.sendall(STRANGE[strange])
        assert oip_grpc.infer("tiny", [tensor(example(1))]).version == "2"


@pytest.mark.server
def test_an_answer_longer_than_its_caller_takes_leaves_no_traceback_in_the_log(tmp_path: Path) -> None:
    """Clients take 4 MiB unless told otherwise; the server's end looks for tracebacks."""
    write_bare(tmp_path / "zoo", adder(), "adder")
    rows = np.zeros((700_000, 4), "f4")
    settings: dict[str, Any] = {"max_request_bytes": 16 << 20, "default_models": ""}
    with Server(tmp_path / "zoo", tmp_path / "home", **settings) as server, closing(Grpc(server)) as oip:
        for _ in range(5):
            with pytest.raises(Refused, match=r"RESOURCE_EXHAUSTED: .*larger than max"):
                oip.infer("adder", [tensor(rows, "x")])
        assert eventually(lambda: server.metric("lectorium_in_flight_requests") == 0)
