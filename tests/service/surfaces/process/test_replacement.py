"""A worker that ends is replaced, and nobody but those inside it notices."""

import asyncio
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from service.config import Config
from service.surfaces.process import supervisor, worker_process
from service.surfaces.process.supervisor import supervise
from service.surfaces.process.worker_link import Orders
from service.surfaces.process.worker_process import Worker, WorkerEnded
from tests.packages import example, write_package
from tests.pictures import png
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, TENSOR_TRANSPORTS, StartServer, ask
from tests.service.surfaces.fleet import WORKERS, begin_uploads, connected, folder_of, statuses, workers_of
from tests.service.surfaces.process.test_serving import change_a_byte
from tests.service.surfaces.transports import Refused, tensor
from tests.serving import Server, eventually, free_ports

WAYS = ("rest_binary", "grpc_raw", "http", "vision_grpc")
# A worker that is asked to end while it loads.
LEAVES = """
import socket, sys
from service.surfaces.process.worker_link import LEAVING

socket.socket(fileno=sys.stdin.fileno()).sendall(LEAVING)
"""
# One that says it leaves, and does not.
HANGS = """
import socket, sys, time
from service.surfaces.process.worker_link import LEAVING, Report, line

link = socket.socket(fileno=sys.stdin.fileno())
link.sendall(line(Report(greeting="hello")) + LEAVING)
time.sleep(60)
"""


class Caller:
    """Asks again and again on one connection; where that breaks, on another.

    A connection may break if it was opened before the killed worker was known to have ended: the system closes a killed
    process's connections before the port that it listened at, so one that is opened in between breaks, too. A
    connection that is opened later may not, and a request may not be refused.
    """

    def __init__(self, server: Server, way: str) -> None:
        self._server = server
        self._way = way
        self.answered = self.broken = 0
        self.failures: list[str] = []
        self.leaves = False

    def __call__(self) -> None:
        while not self.leaves and not self.failures:
            ended = "was killed by SIGKILL" in self._server.log
            try:
                self._ask_until_broken()
            except (httpx.TransportError, Refused) as error:
                self._heard(error, ended)

    def _heard(self, error: Exception, ended: bool) -> None:
        self.broken += 1
        if isinstance(error, Refused) and (error.code != "UNAVAILABLE" or "shutting down" in error.message):
            self.failures.append(repr(error))
        if ended:
            self.failures.append(f"a connection broke that was opened after the worker had ended: {error!r}")

    def _ask_until_broken(self) -> None:
        if self._way in IMAGE_TRANSPORTS:
            with closing(IMAGE_TRANSPORTS[self._way](self._server)) as images:
                self._repeat(lambda: images.classify(png(), model="tiny"))
        else:
            with closing(TENSOR_TRANSPORTS[self._way](self._server)) as tensors:
                self._repeat(lambda: tensors.infer("tiny", [tensor(example(1))]))

    def _repeat(self, asks: Callable[[], object]) -> None:
        while not self.leaves:
            asks()
            self.answered += 1


@contextmanager
def calling(server: Server, each: int = 2) -> Iterator[list[Caller]]:
    """Callers of all kinds, who leave at the end and have met no failure."""
    callers = [Caller(server, way) for way in WAYS * each]
    threads = [threading.Thread(target=caller) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield callers
    finally:
        for caller in callers:
            caller.leaves = True
        for thread in threads:
            thread.join()
    assert [failure for caller in callers for failure in caller.failures] == []


def replacement(server: Server, first: list[psutil.Process]) -> psutil.Process:
    """The process that takes the place of one of the ``first``.

    Each look is at one list of processes: between two looks a worker may be gone and the next one not yet there.
    """
    assert eventually(lambda: not set(workers_of(server)) <= set(first))
    (new,) = set(workers_of(server)) - set(first)
    return new


def test_a_killed_worker_is_replaced_while_the_others_answer_everybody(start: StartServer) -> None:
    server = start(workers=WORKERS)
    first = workers_of(server)
    with calling(server) as callers:
        assert eventually(lambda: all(caller.answered > 10 for caller in callers))
        first[0].kill()
        new = replacement(server, first)
        assert eventually(lambda: "replaces the one that ended" in server.log)
        assert eventually(lambda: new.pid in visited(server, server.rest_port))
        assert eventually(lambda: new.pid in visited(server, server.grpc_port))
        assert eventually(lambda: new.pid in visited(server, server.http_port))
        assert eventually(lambda: new.pid in visited(server, server.metrics_port))
    assert any(caller.broken for caller in callers)
    assert f"(process {first[0].pid}) was killed by SIGKILL: it is replaced in 0 s" in server.log
    assert re.search(rf"\(process {new.pid}\) replaces the one that ended, after \d", server.log)
    assert server.answers("/readyz")
    assert server.log.count("Lectorium serves") == 1


def visited(server: Server, port: int) -> set[int]:
    """The workers that have a connection on that port while one more is open."""
    with ExitStack() as stack:
        for way in ("rest_binary", "grpc_raw"):
            stack.enter_context(closing(TENSOR_TRANSPORTS[way](server))).infer("tiny", [tensor(example(1))])
        client = stack.enter_context(httpx.Client())
        client.get(f"{server.http}/livez")
        client.get(server.metrics)
        return connected(server, port)


def test_a_worker_that_ends_by_itself_drains_and_is_replaced(start: StartServer) -> None:
    server = start(workers=WORKERS)
    first = workers_of(server)
    with ExitStack() as stack:
        uploads = begin_uploads(server, stack)
        first[0].terminate()
        assert eventually(lambda: "draining" in server.log)
        assert statuses(uploads) == {200}
    new = replacement(server, first)
    assert f"(process {first[0].pid}) ended with exit code 0: it is replaced" in server.log
    assert eventually(lambda: f"(process {new.pid}) replaces the one that ended" in server.log)


def test_no_counter_falls_when_a_worker_is_killed_and_replaced(start: StartServer) -> None:
    server = start(workers=WORKERS)
    first = workers_of(server)

    def counted() -> float:
        try:
            return server.metric("lectorium_request_duration_seconds_count", model="tiny", code="OK")
        except ConnectionError:  # the one that was killed had been asked
            return server.metric("lectorium_request_duration_seconds_count", model="tiny", code="OK")

    for way in WAYS * 5:
        ask(server, way)
    assert counted() == 20
    seen = []
    for worker in first:  # both, one after the other: the last to go was replaced by one that counts on
        before = server.log.count("replaces the one that ended")
        worker.kill()
        while server.log.count("replaces the one that ended") == before:
            seen.append(counted())
            time.sleep(0.05)
    assert set(seen) == {20}
    for way in WAYS * 5:
        ask(server, way)
    assert {counted() for _ in range(8)} == {40}
    with ExitStack() as stack:
        uploads = begin_uploads(server, stack)
        assert statuses(uploads) == {200}
    assert server.metric("lectorium_in_flight_requests") == 0, "a gauge is of those that live"


def test_what_was_counted_a_while_before_the_end_is_kept_though_nobody_asked(start: StartServer) -> None:
    server = start(workers=WORKERS)
    for way in WAYS * 5:
        ask(server, way)
    answered = time.time()
    files = [folder_of(server) / f"{number}.json" for number in range(1, WORKERS + 1)]
    assert eventually(lambda: all(file.stat().st_mtime > answered for file in files))
    for worker in workers_of(server):
        worker.kill()
    assert eventually(lambda: server.log.count("replaces the one that ended") == WORKERS)
    assert server.metric("lectorium_request_duration_seconds_count", model="tiny", code="OK") == 20


def test_a_signal_while_a_replacement_loads_ends_all_well(start: StartServer) -> None:
    server = start(workers=WORKERS)
    first = workers_of(server)
    first[0].kill()
    new = replacement(server, first)
    assert server.stop() == 0
    assert "replaces the one that ended" not in server.log
    assert "Traceback" not in server.log
    assert not new.is_running()


def test_the_server_ends_when_a_worker_and_its_replacements_keep_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "WAITS_S", (0, 0.1))
    folder = write_package(tmp_path / "zoo", "tiny", 1)
    http, rest, grpc, metrics = free_ports(4)
    config = Config(
        repository=tmp_path / "zoo",
        workers=WORKERS,
        http_port=http,
        rest_port=rest,
        grpc_port=grpc,
        metrics_port=metrics,
    )
    others = set(psutil.Process().children())

    async def kill_one_that_cannot_be_replaced() -> None:
        supervising = asyncio.create_task(supervise(config))
        assert await asyncio.to_thread(eventually, lambda: ready(config.http_port), 60)
        change_a_byte(folder)
        (set(psutil.Process().children()) - others).pop().kill()
        await supervising

    with pytest.raises(WorkerEnded, match=r"tiny/1/model\.onnx.*; worker \d has ended 3 times in a row"):
        asyncio.run(kill_one_that_cannot_be_replaced())
    assert "it is replaced in 0.1 s" in caplog.text
    assert set(psutil.Process().children()) == others


def serving(repository: Path, workers: int) -> Config:
    """What to serve, on free ports."""
    http, rest, grpc, metrics = free_ports(4)
    return Config(
        repository=repository,
        workers=workers,
        http_port=http,
        rest_port=rest,
        grpc_port=grpc,
        metrics_port=metrics,
    )


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
    except httpx.TransportError:
        return False


def test_a_worker_that_hangs_while_it_drains_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "COMMAND", (sys.executable, "-c", HANGS))
    monkeypatch.setattr(worker_process, "END_S", 0.1)

    async def end() -> tuple[str, float]:
        worker = await Worker.start(Orders(number=7, folder=tmp_path, config=Config(workers=7, drain_s=0.1)))
        assert await worker.loaded() == "hello"
        return await worker.end()

    how, served_s = asyncio.run(end())
    assert re.fullmatch(r"hanging worker 7 \(process \d+\) was killed by SIGKILL", how)
    assert served_s < 10


def test_a_worker_that_leaves_before_it_has_loaded_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "COMMAND", (sys.executable, "-c", LEAVES))

    async def loaded() -> None:
        worker = await Worker.start(Orders(number=7, folder=tmp_path, config=Config(workers=7)))
        await worker.loaded()

    with pytest.raises(WorkerEnded, match=r"worker 7 \(process \d+\) ended with exit code 0"):
        asyncio.run(loaded())
