"""Refused requests leave nothing behind."""

import httpx
import pytest

from tests.service.surfaces.grpc.test_refused import CALLS, IMAGE, resident_bytes
from tests.service.surfaces.transports import infer_path
from tests.serving import Server

BARE = {"content-type": "image/png"}
RAW = {"inference-header-content-length": "0"}


@pytest.mark.parametrize("port", ["http", "rest"])
def test_a_refused_request_leaves_no_memory_taken(server: Server, port: str) -> None:
    path, headers = ("/v1/classify", BARE) if port == "http" else (infer_path("tiny"), RAW)
    with httpx.Client(base_url=getattr(server, port), headers=headers, timeout=30) as client:

        def refused(times: int) -> None:
            for _ in range(times):
                assert client.post(path, content=IMAGE).status_code == 400

        refused(20)
        before = resident_bytes(server)
        refused(CALLS)
        assert resident_bytes(server) - before < CALLS * len(IMAGE) / 2
