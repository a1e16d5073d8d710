import subprocess
from pathlib import Path

import pytest
import torch

from training.provenance import git_commit, library_versions


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for name in ("pyproject.toml", "models/net.py", "models/zoo/net/1/model.json", "training/fit.py", "service/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_tree_is_its_commit(checkout: Path) -> None:
    assert git_commit(checkout) == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["models/net.py", "training/new.py"])
def test_code_that_differs_is_dirty(checkout: Path, name: str) -> None:
    (checkout / name).write_text("2")
    assert git_commit(checkout) == git(checkout, "rev-parse", "HEAD") + "-dirty"


@pytest.mark.parametrize("name", ["models/zoo/net/1/model.json", "models/zoo/net/2/model.json", "README.md"])
def test_packages_and_prose_do_not_make_it_dirty(checkout: Path, name: str) -> None:
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("2")
    assert git_commit(checkout) == git(checkout, "rev-parse", "HEAD")


def test_no_commit_and_no_repository_are_uncommitted(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert git_commit(tmp_path) == "uncommitted"
    assert git_commit(tmp_path / "nowhere") == "uncommitted"


def test_the_versions_are_those_in_use() -> None:
    versions = library_versions()
    # The wheel's own version may leave out the +cu or +cpu of the build.
    assert torch.__version__.startswith(versions["torch"])
    assert {"python", "lightning", "numpy", "onnx", "onnxruntime"} <= versions.keys()
