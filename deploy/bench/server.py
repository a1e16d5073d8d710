"""Child processes that serve: Lectorium itself, and the bare servers to compare it with."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped]

HOST = "127.0.0.1"
PORTS = ("http", "rest", "grpc", "metrics")
START_S = 60
STOP_S = 30
_COUNT = re.compile(r"^lectorium_request_duration_seconds_count\{(.*)\} ([\d.e+]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Child:
    """A child process that runs while the context is entered.

    Raises:
        RuntimeError: it ended by itself, or is not up within a minute.
    """

    def __init__(self, command: Sequence[str], settings: Mapping[str, object]) -> None:
        self._command = command
        # The bench's settings for its own gRPC client must not reach the server.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
        self._environment = inherited | {name: str(value) for name, value in settings.items()}
        self.ready_s = 0.0

    def __enter__(self) -> Self:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, process_group=0
        )
        while not self.answers():
            if self.process.poll() is not None or time.perf_counter() - began > START_S:
                self._kill()
                raise RuntimeError(f"{self._command}: not up, exit code {self.process.wait()}")
            time.sleep(0.01)
        self.ready_s = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        finally:
            self._kill()

    def _kill(self) -> None:
        """Kill what is left of it, including the processes that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def answers(self) -> bool:
        """Whether it is up."""
        raise NotImplementedError


class OnePort(Child):
    """A process that serves ``port``."""

    def __init__(self, port: int, command: Sequence[str], settings: Mapping[str, object]) -> None:
        self.port = port
        super().__init__(command, settings)

    def answers(self) -> bool:
        """Whether the port accepts connections."""
        with suppress(OSError), socket.create_connection((HOST, self.port), 1):
            return True
        return False


class Bare(OnePort):
    """A module of this package that serves the port in its first argument."""

    def __init__(self, module: str, *arguments: str) -> None:
        port = free_port()
        super().__init__(port, [sys.executable, "-m", f"deploy.bench.{module}", str(port), *arguments], {})


class Server(Child):
    """`lectorium serve` on free ports; ``settings`` are configuration keys."""

    def __init__(self, repository: Path, **settings: object) -> None:
        self.ports = {name: free_port() for name in PORTS}
        values: dict[str, object] = {"repository": repository, "log_level": "warning", **settings}
        values |= {f"{name}_port": port for name, port in self.ports.items()}
        super().__init__(
            [str(Path(sys.executable).with_name("lectorium")), "serve"],
            {f"LECTORIUM_{name.upper()}": value for name, value in values.items()},
        )

    def answers(self) -> bool:
        """Whether it reports that it is ready."""
        with suppress(OSError):
            return self._get("rest", "/v2/health/ready") is not None
        return False

    def outcomes(self, model: str, surface: str) -> Counter[str]:
        """The number of requests that ended with each code, by the server's own count."""
        counts: Counter[str] = Counter()
        for labels, count in _COUNT.findall(self._get("metrics", "/metrics")):
            found = dict(_LABEL.findall(labels))
            if (found["model"], found["surface"]) == (model, surface):
                counts[found["code"]] += int(float(count))
        return counts

    def memory(self) -> int:
        """The resident memory in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def footprint(self) -> int:
        """The memory of all its processes in bytes; what they share is counted once."""
        return sum(process.memory_full_info().pss for process in self._processes)

    def processor_s(self) -> float:
        """The processor time of all its processes until now."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    @property
    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def _get(self, port: str, path: str) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.ports[port]}{path}", timeout=10) as response:
            text: str = response.read().decode()
            return text


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
