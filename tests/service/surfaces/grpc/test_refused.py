"""Refused calls leave nothing behind."""

from pathlib import Path

import grpc
import pytest

from protos.lectorium.v1 import vision_pb2 as pb
from protos.lectorium.v1 import vision_pb2_grpc
from tests.serving import MAX_REQUEST_BYTES, Server

CALLS = 200


def resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def test_a_refused_call_leaves_no_memory_taken(server: Server) -> None:
    request = pb.ClassifyRequest(image=bytes(MAX_REQUEST_BYTES // 2))

    def refused(stub: vision_pb2_grpc.VisionStub, times: int) -> None:
        for _ in range(times):
            with pytest.raises(grpc.RpcError, match="no image"):
                stub.Classify(request)

    with grpc.insecure_channel(server.grpc) as channel:
        stub = vision_pb2_grpc.VisionStub(channel)
        refused(stub, 20)
        before = resident_bytes(server)
        refused(stub, CALLS)
        assert resident_bytes(server) - before < CALLS * len(request.image) / 2
