"""Several workers behind one set of ports: one server to those who ask and those who watch."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.needs import needs
from tests.packages import example
from tests.pictures import png
from tests.service.surfaces.callers import in_flight
from tests.service.surfaces.conftest import SERVED, StartServer, ask
from tests.service.surfaces.fleet import ATTEMPTS, WORKERS, begin_uploads, connected, folder_of, statuses, workers_of
from tests.service.surfaces.image_transports import Http, Vision
from tests.service.surfaces.refusals import refusal_to_start
from tests.service.surfaces.transports import Grpc, Rest, tensor
from tests.serving import Server


@pytest.fixture(scope="module")
@needs("server")
def fleet(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(zoo, tmp_path_factory.mktemp("fleet") / "home", workers=WORKERS) as server:
        yield server


def ask_rest(server: Server) -> set[int]:
    with closing(Rest(server)) as rest:
        rest.infer("tiny", [tensor(example(1))])
        return connected(server, server.rest_port)


def ask_grpc(server: Server) -> set[int]:
    with closing(Grpc(server)) as oip:
        oip.infer("tiny", [tensor(example(1))])
        return connected(server, server.grpc_port)


def ask_vision(server: Server) -> set[int]:
    with closing(Vision(server)) as vision:
        vision.classify(png(), model="tiny")
        return connected(server, server.grpc_port)


def ask_http(server: Server) -> set[int]:
    with closing(Http(server)) as http:
        http.classify(png(), model="tiny")
        return connected(server, server.http_port)


def ask_metrics(server: Server) -> set[int]:
    with httpx.Client() as client:
        client.get(server.metrics).raise_for_status()
        return connected(server, server.metrics_port)


@pytest.mark.parametrize("asks", [ask_rest, ask_grpc, ask_vision, ask_http, ask_metrics])
def test_every_worker_answers_on_every_port(fleet: Server, asks: Callable[[Server], set[int]]) -> None:
    seen: set[int] = set()
    for _ in range(ATTEMPTS):
        seen |= asks(fleet)
        if len(seen) == WORKERS:
            break
    assert seen == {worker.pid for worker in workers_of(fleet)}
    assert len(seen) == WORKERS


def test_the_metrics_count_every_request_whichever_worker_answered_and_whichever_is_asked(fleet: Server) -> None:
    def counted() -> set[float]:
        labels = {"model": "tiny", "version": "1", "code": "OK"}
        return {fleet.metric("lectorium_request_duration_seconds_count", **labels) for _ in range(8)}

    (before,) = counted()
    for way in ("rest_binary", "grpc_raw", "http", "vision_grpc") * 5:
        ask(fleet, way)
        with closing(Rest(fleet)) as rest:
            rest.infer("tiny", [tensor(example(1))], version="1")
    assert counted() == {before + 20}


def test_port_3000_shows_the_same_metrics(fleet: Server) -> None:
    def families(url: str) -> list[str]:
        lines = httpx.get(url).raise_for_status().text.splitlines()
        # Asking is a read, which is counted.
        return [line for line in lines if line.startswith("lectorium") and not line.startswith("lectorium_reads")]

    assert families(fleet.metrics)
    assert families(fleet.metrics) == families(f"{fleet.http}/metrics")


def test_the_supervisor_greets_once_and_says_how_many_serve(fleet: Server) -> None:
    assert fleet.log.count(f"Lectorium serves {SERVED} with 2 workers") == 1


def test_one_worker_is_the_process_itself(server: Server) -> None:
    assert workers_of(server) == []


@pytest.mark.server
@pytest.mark.parametrize("workers", [1, WORKERS])
def test_the_ports_of_workers_are_no_others(fleet: Server, zoo: Path, tmp_path: Path, workers: int) -> None:
    said = refusal_to_start(Server(zoo, tmp_path / "home", grpc_port=fleet.grpc_port, workers=workers))
    assert f"gRPC cannot listen on {fleet.grpc}" in said


def test_requests_in_flight_are_those_of_all_workers(fleet: Server) -> None:
    with ExitStack() as stack:
        uploads = begin_uploads(fleet, stack)
        assert {in_flight(fleet, "oip_rest") for _ in range(8)} == {len(uploads)}
        assert statuses(uploads) == {200}
    assert in_flight(fleet, "oip_rest") == 0


def test_the_socket_folder_is_private_and_goes_with_the_server(start: StartServer) -> None:
    server = start(workers=WORKERS)
    folder = folder_of(server)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_uid == os.getuid()
    assert server.stop() == 0
    assert not folder.exists()
