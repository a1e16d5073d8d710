"""The first commands a user runs, the README's and the greeting's, work as they are printed."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bare_packages import adder, write_bare
from tests.packages import write_package
from tests.serving import Server
from tests.step_packages import write_captioner
from tests.text_packages import write_text_package

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[3]
ZOO = ROOT / "models/zoo"
# What each command of the README must answer, in their order.
ANSWERS = [
    '"label":"7"',
    '"label":"7"',
    '"title":"LeNet-5 on MNIST"',
    "event: answer",
    '"label":"German"',
    '"embedding":[',
    '"label":"9","index":10,',
    "image/png",
    '"outputs":',
    "lectorium_request_duration_seconds_bucket",
    'label: "7"',
]


def shell(command: str, folder: Path) -> str:
    """What the command prints; it must succeed, and so must what it asks the server for."""
    strict = 'set -euo pipefail; curl() { command curl --silent --show-error --fail-with-body "$@"; }; '
    done = subprocess.run(["bash", "-c", strict + command], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def first_commands(server: Server) -> list[str]:
    """Those under "Try it", for this server."""
    section = (ROOT / "README.md").read_text("utf-8").split("## Try it\n")[1]
    (block, *_) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    ports = {3000: server.http_port, 8000: server.rest_port, 8001: server.grpc_port, 8002: server.metrics_port}
    for published, port in ports.items():
        block = block.replace(f"localhost:{published}", f"localhost:{port}")
    # A line that begins with a command begins the next one.
    commands = re.split(r"\n(?=curl|python3|\.venv)", block)
    return [command.replace(".venv/bin/python", sys.executable) for command in commands]


def test_the_first_commands_of_the_readme_work_as_they_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with Server(ZOO, tmp_path / "home", default_models="") as server:
        commands = first_commands(server)
        assert len(commands) == len(ANSWERS)
        for command, answer in zip(commands, ANSWERS, strict=True):
            assert answer in shell(command, ROOT).replace('": ', '":'), command
        assert '"label":"7"' in shell(printed(server), tmp_path)


def printed(server: Server) -> str:
    """The command that the greeting ends with."""
    (command,) = re.findall(r"^(?:Try|Load one):  (.*)$", server.log, re.MULTILINE)
    return str(command)


def only(write: Callable[..., object], *names: str) -> Callable[[Path], None]:
    """Writes these packages, and nothing else."""

    def write_all(repository: Path) -> None:
        for name in names:
            write(repository, name)

    return write_all


REPOSITORIES: dict[str, tuple[Callable[[Path], object], dict[str, str], str, str]] = {
    "a classifier": (only(write_package, "pets"), {}, "/v1/classify", '"model":"pets"'),
    "classifiers": (only(write_package, "pets", "dogs"), {}, "-F model=dogs", '"model":"dogs"'),
    "a captioner": (only(write_captioner, "tells"), {}, "/v1/caption", '"model":"tells"'),
    "a text classifier": (only(write_text_package, "letters"), {}, "/v1/classify-text", '"model":"letters"'),
    "a bare model": (lambda folder: write_bare(folder, adder(), "adds"), {}, "/v2/models/adds", '"name":"adds"'),
    "nothing yet": (
        only(write_package, "pets"),
        {"model_control": "explicit", "load_models": ""},
        "/v2/repository/models/pets/load",
        "",
    ),
    "nothing yet, and a token": (
        only(write_package, "pets"),
        {"model_control": "explicit", "load_models": "", "control_token": "secret"},
        "$LECTORIUM_CONTROL_TOKEN",
        "",
    ),
}


@pytest.mark.parametrize(("write", "settings", "shown", "answer"), REPOSITORIES.values(), ids=list(REPOSITORIES))
def test_the_command_in_the_greeting_fits_what_is_served_and_works_anywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], object],
    settings: dict[str, str],
    shown: str,
    answer: str,
) -> None:
    monkeypatch.setenv("LECTORIUM_CONTROL_TOKEN", settings.get("control_token", ""))
    write(tmp_path / "mine")
    server = Server(tmp_path / "mine", tmp_path / "home", default_models="", **settings)
    server.started_in = tmp_path
    with server:
        assert shown in printed(server)
        assert answer in shell(printed(server), tmp_path)
