import subprocess
from pathlib import Path

import pytest

from tests.deploy.callers import Callers
from tests.deploy.containers import IMAGE, Container, engine

pytestmark = pytest.mark.deploy
DOCKERFILE = Path(__file__).parents[2] / "deploy/docker/Dockerfile"


@pytest.fixture
def ready_container(container: Container, callers: Callers) -> Container:
    return container


def test_dockerfile_is_lint_free() -> None:
    done = subprocess.run(["hadolint", str(DOCKERFILE)], capture_output=True, text=True)
    assert done.stdout == ""


def test_torch_is_not_in_the_image() -> None:
    # As root, who may look into every folder.
    names = ["-type", "d", "-name", "torch", "-o", "-name", "libtorch*"]
    found = engine("run", "--rm", "--user=0", "--entrypoint=find", IMAGE, "/", "-xdev", *names)
    assert found == ""


@pytest.mark.parametrize("tool", ["gcc", "cc", "g++", "make", "ld"])
def test_no_compiler_is_in_the_image(ready_container: Container, tool: str) -> None:
    script = f"import shutil; print(shutil.which({tool!r}))"
    assert ready_container.execute("python", "-c", script) == "None"


def test_tini_is_process_1(ready_container: Container) -> None:
    assert ready_container.execute("cat", "/proc/1/comm") == "tini"


def test_image_names_a_numeric_user_that_is_not_root() -> None:
    user, _, group = engine("inspect", "--format", "{{.Config.User}}", IMAGE).partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_service_runs_as_any_user(ready_container: Container) -> None:
    assert ready_container.execute("stat", "-c", "%u", "/proc/1") == "23456"


def test_service_has_no_capability(ready_container: Container) -> None:
    status = ready_container.execute("cat", "/proc/1/status")
    held = [line.split()[1] for line in status.splitlines() if line.startswith("Cap")]
    assert set(held) == {"0" * 16}


def test_image_says_what_it_is() -> None:
    labels = engine("inspect", "--format", "{{json .Config.Labels}}", IMAGE)
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f'"org.opencontainers.image.{label}":"' in labels
    assert '"org.opencontainers.image.version":"0"' not in labels


def test_help_needs_nothing_that_is_not_in_the_image(
    ready_container: Container,
) -> None:
    assert "serve" in ready_container.execute("lectorium", "--help")
