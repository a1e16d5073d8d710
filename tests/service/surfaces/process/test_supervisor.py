"""Several workers start, drain and end as one server."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from service.config import Config, load_config
from service.surfaces.process import worker_process
from service.surfaces.process.supervisor import supervise
from service.surfaces.process.worker_link import Orders, line
from service.surfaces.process.worker_process import Worker, WorkerEnded
from tests.packages import write_package
from tests.service.surfaces.conftest import StartServer
from tests.service.surfaces.fleet import WORKERS, begin_uploads, statuses, workers_of
from tests.service.surfaces.process.test_serving import change_a_byte
from tests.service.surfaces.refusals import refusal_to_start
from tests.serving import HOST, Server, eventually, free_ports


def test_the_supervisor_loads_no_engine() -> None:
    code = "import sys, service.commands, service.surfaces.process.supervisor; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "service.surfaces.process.supervisor" in loaded
    assert {"onnxruntime", "grpc", "bentoml", "uvicorn", "numpy"}.isdisjoint(loaded)


# In the place of a worker: it is told what any is, and writes down which GPUs it would drive.
TELLS_ITS_GPUS = """
import os

from service.surfaces.process import worker

async def run(config, *_, **__):
    (config.data / str(os.getpid())).write_text(repr(config.gpus))

worker.run = run
worker.main()
"""


@pytest.mark.parametrize(
    ("gpus", "workers", "driven"),
    [("0,1", 2, ["(0,)", "(1,)"]), ("5,6,7", 4, ["(5,)", "(5,)", "(6,)", "(7,)"]), ("3", 2, ["(3,)", "(3,)"])],
)
def test_workers_take_the_gpus_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: str, workers: int, driven: list[str]
) -> None:
    monkeypatch.setattr(worker_process, "COMMAND", (sys.executable, "-c", TELLS_ITS_GPUS))
    settings = {"GPUS": gpus, "WORKERS": str(workers), "DATA": str(tmp_path)}
    ports = dict(zip(("HTTP_PORT", "REST_PORT", "GRPC_PORT", "METRICS_PORT"), map(str, free_ports(4)), strict=True))
    config = load_config({f"LECTORIUM_{key}": value for key, value in (settings | ports).items()})
    with pytest.raises(WorkerEnded, match="ended with exit code 0"):
        asyncio.run(supervise(config))
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == driven


def test_a_worker_is_given_the_configuration_as_it_was_read() -> None:
    config = load_config({"LECTORIUM_REPOSITORY": "zoo", "LECTORIUM_GPUS": "1,0", "LECTORIUM_WORKERS": "2"})
    orders = Orders(number=1, folder=Path("sockets"), config=config)
    assert Orders.model_validate_json(line(orders)) == orders


@pytest.mark.server
@pytest.mark.parametrize("taken", ["http_port", "rest_port", "grpc_port", "metrics_port"])
def test_a_port_that_is_taken_is_named_before_any_worker_starts(zoo: Path, tmp_path: Path, taken: str) -> None:
    server = Server(zoo, tmp_path / "home", workers=WORKERS)
    with socket.create_server((HOST, getattr(server, taken))):
        said = refusal_to_start(server)
    assert said.count("\n") == 1
    assert f"cannot listen on {HOST}:{getattr(server, taken)}: Address already in use" in said


@pytest.mark.server
def test_a_folder_too_deep_for_sockets_is_named(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    said = refusal_to_start(Server(zoo, tmp_path / "home", workers=WORKERS))
    assert said.startswith(f"Error: the path of TMPDIR is {deep}")


@pytest.mark.server
def test_a_package_that_may_not_be_served_is_named_once(tmp_path: Path) -> None:
    change_a_byte(write_package(tmp_path / "zoo", "tiny", 1))
    said = refusal_to_start(Server(tmp_path / "zoo", tmp_path / "home", workers=WORKERS))
    assert said.count("Error:") == 1
    assert "tiny/1/model.onnx" in said
    assert "Lectorium serves" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_every_worker(start: StartServer, number: signal.Signals) -> None:
    server = start(workers=WORKERS)
    with ExitStack() as stack:
        uploads = begin_uploads(server, stack)
        server.process.send_signal(number)
        assert eventually(lambda: server.log.count("draining") == WORKERS)
        assert not server.answers("/readyz")
        server.process.send_signal(number)  # a second one changes nothing
        time.sleep(0.1)
        assert statuses(uploads) == {200}
        assert server.wait() == 0


@pytest.mark.server
def test_a_signal_while_workers_load_ends_them_well(zoo: Path, tmp_path: Path) -> None:
    server = Server(zoo, tmp_path / "home", workers=WORKERS)
    server.process = server.launch()
    assert eventually(lambda: len(workers_of(server)) == WORKERS)
    assert server.stop() == 0
    assert "Lectorium serves" not in server.log
    assert "Traceback" not in server.log


@pytest.mark.server
def test_no_worker_is_ready_before_all_are(zoo: Path, tmp_path: Path) -> None:
    server = Server(zoo, tmp_path / "home", workers=WORKERS)
    server.process = server.launch()
    with ExitStack() as stack:
        stack.callback(server.process.kill)  # where the test fails
        assert eventually(lambda: len(workers_of(server)) == WORKERS)
        first, second = workers_of(server)
        second.suspend()
        try:
            assert eventually(lambda: listens(first, server.http_port))
            assert not server.answers("/readyz")
            assert server.answers("/livez")
        finally:
            second.resume()
        assert eventually(lambda: server.answers("/readyz"))
        assert server.stop() == 0


def listens(worker: psutil.Process, port: int) -> bool:
    listening = [c.laddr.port for c in worker.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    return port in listening


def test_a_worker_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "END_S", 0.1)

    async def stop() -> str:
        others = set(psutil.Process().children())
        worker = await Worker.start(Orders(number=7, folder=tmp_path, config=Config(workers=7, drain_s=0.1)))
        (process,) = set(psutil.Process().children()) - others
        process.suspend()
        return await worker.stop()

    assert re.fullmatch(r"hanging worker 7 \(process \d+\) was killed by SIGKILL", asyncio.run(stop()))


def test_workers_do_not_outlive_a_killed_supervisor_and_drain_first(start: StartServer) -> None:
    server = start(workers=WORKERS)
    workers = workers_of(server)
    with ExitStack() as stack:
        uploads = begin_uploads(server, stack)
        server.process.kill()
        assert server.wait() == -signal.SIGKILL
        assert eventually(lambda: server.log.count("draining") == WORKERS)
        assert statuses(uploads) == {200}
    assert eventually(lambda: not any(worker.is_running() for worker in workers))
