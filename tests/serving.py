"""A real `lectorium serve`: a process of its own, on free ports, over a repository of tiny packages."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from prometheus_client.parser import text_string_to_metric_families

from tests.needs import met
from tests.packages import write_package

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 1 << 20
# One run of the slow package takes some 30 ms, so a request of N full batches takes N times that.
SLOW_WORK = 1000
# Below the range a kernel gives to outgoing connections, so that none of those takes one before the server does.
_PORTS = range(20_000, 32_000)
# A developer's own settings, and those that the server must make by itself, such as to send no telemetry.
NOT_INHERITED = ("LECTORIUM_", "XDG_", "ORT_", "BENTOML_")


def write_zoo(folder: Path) -> Path:
    """`tiny` in two versions and `slow`, in ``folder``."""
    write_package(folder, "tiny", 1)
    write_package(folder, "tiny", 2)
    write_package(folder, "slow", 1, work=SLOW_WORK)
    return folder


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; each of the processes that test side by side has its own to choose from."""
    process, of = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    ports = _PORTS[int(process.removeprefix("gw")) :: int(of)]
    found: list[int] = []
    for port in random.Random().sample(ports, len(ports)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            break
    return found


def eventually(holds: Callable[[], bool], within_s: float = 120.0) -> bool:
    """Whether ``holds()`` within that time, which is long for the sake of busy machines; asks again until then."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return holds()


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class Server:
    """Enter it to have a server that is ready; ``settings`` are configuration keys.

    On the way out it must end by SIGTERM with exit code 0, unless the test ended it, and its log must hold no
    traceback.
    """

    def __init__(self, repository: Path, home: Path, **settings: object) -> None:
        self.http_port, self.rest_port, self.grpc_port, self.metrics_port = free_ports(4)
        self.http, self.rest = f"http://{HOST}:{self.http_port}", f"http://{HOST}:{self.rest_port}"
        self.grpc, self.metrics = f"{HOST}:{self.grpc_port}", f"http://{HOST}:{self.metrics_port}/metrics"
        self.home = home
        self.started_in: Path | None = None  # a folder; None: where the tests are
        self._ended = False
        self._settings = {
            "repository": repository,
            "default_models": "classify=tiny" if (repository / "tiny").is_dir() else "",
            "max_request_bytes": MAX_REQUEST_BYTES,
            # The same on every machine, so that the slow package is as slow on many cores.
            "lanes": 1,
            "intra_op": 1,
            **{port: getattr(self, port) for port in ("http_port", "rest_port", "grpc_port", "metrics_port")},
            **settings,
        }

    def launch(self) -> subprocess.Popen[bytes]:
        """The process, not yet ready."""
        met("server")
        environment = self.environment()
        with self.log_file.open("wb") as log:
            return subprocess.Popen(
                [Path(sys.executable).with_name("lectorium"), "serve"],
                cwd=self.started_in,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def environment(self) -> dict[str, str]:
        """What the process finds; its home is there."""
        self.home.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
        ours = {f"LECTORIUM_{key.upper()}": str(value) for key, value in self._settings.items()}
        return {**inherited, **ours, "HOME": str(self.home)}

    def __enter__(self) -> "Server":
        self.process = self.launch()
        ready = eventually(lambda: self.process.poll() is not None or self.answers("/readyz"), within_s=120)
        if self.process.poll() is not None or not ready:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not come up:\n{self.log}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended:
            early = self.process.poll()
            assert early is None, f"it ended by itself, exit code {early}:\n{self.log}"
            code = self.stop()
            assert code == 0, f"SIGTERM gave exit code {code}:\n{self.log}"
        assert "Traceback" not in self.log, self.log

    def stop(self, within_s: float = 60) -> int:
        """Send SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(within_s)

    def wait(self, within_s: float = 60) -> int:
        """The exit code; a process that outlasts ``within_s`` is killed and fails the test."""
        self._ended = True
        try:
            return self.process.wait(within_s)
        finally:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> str:
        """All it wrote."""
        return self.log_file.read_text(errors="replace")

    @property
    def log_file(self) -> Path:
        """Where it writes."""
        # Beside its home, which must stay empty.
        return self.home.with_name(self.home.name + ".log")

    def answers(self, path: str) -> bool:
        """Whether port 3000 answers a GET of ``path`` with 200."""
        return answers(self.http + path)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name and with those labels."""
        with urllib.request.urlopen(self.metrics, timeout=10) as response:
            text = response.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
