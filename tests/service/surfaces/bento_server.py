"""A real `bentoml serve` or `bentoml build`: processes of their own, with a home of their own, that call nobody."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.needs import met
from tests.serving import HOST, NOT_INHERITED, answers, eventually, free_ports

BENTOML = Path(sys.executable).with_name("bentoml")
ROOT = Path(__file__).parents[3]


def environment(home: Path, **settings: object) -> dict[str, str]:
    """What such a process finds; ``settings`` are configuration keys."""
    home.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    ours = {f"LECTORIUM_{key.upper()}": str(value) for key, value in settings.items()}
    theirs = {"BENTOML_HOME": str(home / "bentoml"), "BENTOML_DO_NOT_TRACK": "True", "UV_OFFLINE": "1"}
    return {**inherited, "HOME": str(home), "PIP_NO_INDEX": "1", **theirs, **ours}


class BentoServer:
    """Enter it to have `bentoml serve target` ready on a free port; it must end by SIGTERM, without a traceback."""

    def __init__(self, target: str, home: Path, started_in: Path = ROOT, **settings: object) -> None:
        [port] = free_ports(1)
        self.http = f"http://{HOST}:{port}"
        self._target = target
        self._home = home
        self._started_in = started_in
        self._settings = {"http_port": port, "lanes": 1, "intra_op": 1, **settings}
        self._ended = False

    def __enter__(self) -> "BentoServer":
        self.process = self.launch()
        ready = eventually(lambda: self.process.poll() is not None or answers(self.http + "/readyz"))
        if self.process.poll() is not None or not ready:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"bentoml serve did not come up:\n{self.log}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended:
            code = self.stop()
            assert code == 0, f"SIGTERM gave exit code {code}:\n{self.log}"
        assert "Traceback" not in self.log, self.log

    def launch(self) -> subprocess.Popen[bytes]:
        """The process, not yet ready."""
        met("server")
        variables = environment(self._home, **self._settings)
        with self._log_file.open("wb") as log:
            return subprocess.Popen(
                [BENTOML, "serve", self._target],
                cwd=self._started_in,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> int:
        """Send SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit code; a process that does not end is killed and fails the test."""
        self._ended = True
        try:
            return self.process.wait(40)
        finally:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> str:
        """All it wrote."""
        return self._log_file.read_text(errors="replace")

    @property
    def _log_file(self) -> Path:
        return self._home.with_name(self._home.name + ".log")
