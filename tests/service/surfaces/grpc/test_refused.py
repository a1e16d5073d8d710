"""Refused calls leave nothing behind."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from protos.lectorium.v1 import vision_pb2 as pb
from protos.lectorium.v1 import vision_pb2_grpc
from tests.serving import MAX_REQUEST_BYTES, Server

CALLS = 200
IMAGE = bytes(MAX_REQUEST_BYTES // 2)


def resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


CALLED: dict[str, Callable[[vision_pb2_grpc.VisionStub], object]] = {
    "Classify": lambda stub: stub.Classify(pb.ClassifyRequest(image=IMAGE)),
    "Caption": lambda stub: list(stub.Caption(pb.CaptionRequest(image=IMAGE))),
}


@pytest.mark.parametrize("method", CALLED)
def test_a_refused_call_leaves_no_memory_taken(server: Server, method: str) -> None:
    def refused(stub: vision_pb2_grpc.VisionStub, times: int) -> None:
        for _ in range(times):
            with pytest.raises(grpc.RpcError, match="not an image"):
                CALLED[method](stub)

    with grpc.insecure_channel(server.grpc) as channel:
        stub = vision_pb2_grpc.VisionStub(channel)
        refused(stub, 20)
        before = resident_bytes(server)
        refused(stub, CALLS)
        assert resident_bytes(server) - before < CALLS * len(IMAGE) / 2
