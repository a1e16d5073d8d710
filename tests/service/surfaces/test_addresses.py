"""The address that all ports listen on may be one of IPv6, or every one."""

import socket
from contextlib import closing, suppress
from pathlib import Path

import grpc
import httpx
import pytest

from protos import open_inference_pb2 as pb
from protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests.packages import write_package
from tests.service.surfaces.fleet import WORKERS
from tests.service.surfaces.test_first_commands import printed, shell
from tests.serving import Server


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


pytestmark = [pytest.mark.server, pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")]


def answered(server: Server, host: str) -> None:
    """Every port answers at that address."""
    for url in (f"{host}:{server.http_port}/readyz", f"{host}:{server.rest_port}/v2", f"{host}:{server.metrics_port}"):
        assert httpx.get(f"http://{url}").status_code == 200
    with closing(grpc.insecure_channel(f"{host}:{server.grpc_port}")) as channel:
        assert GRPCInferenceServiceStub(channel).ServerReady(pb.ServerReadyRequest(), timeout=10).ready


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_every_address_is_served_on_every_port(tmp_path: Path, workers: int) -> None:
    write_package(tmp_path / "zoo", "tiny")
    with Server(tmp_path / "zoo", tmp_path / "home", host="::", workers=workers) as server:
        answered(server, "127.0.0.1")
        answered(server, "[::1]")
        assert f"http://localhost:{server.http_port}\n" in server.log
        assert f"gRPC                     localhost:{server.grpc_port}" in server.log
        assert '"model":"tiny"' in shell(printed(server), tmp_path)


def test_an_address_of_ipv6_is_served_on_every_port_and_printed_in_brackets(tmp_path: Path) -> None:
    write_package(tmp_path / "zoo", "tiny")
    server = Server(tmp_path / "zoo", tmp_path / "home", host="::1")
    server.http = f"http://[::1]:{server.http_port}"
    server.started_in = tmp_path
    with server:
        answered(server, "[::1]")
        for address in (server.http, f"http://[::1]:{server.rest_port}/v2", f"     [::1]:{server.grpc_port}"):
            assert f"{address}\n" in server.log
        assert '"model":"tiny"' in shell(printed(server), tmp_path)
