from collections.abc import Iterator
from pathlib import Path

import pytest

from service.package import Package
from tests.training.captioning.tiny import tiny_captioner, tiny_scenes
from tests.training.tiny import Tiny
from training.captioning.package import write_captioner
from training.captioning.subject import from_run
from training.fit import fit


@pytest.fixture
def scenes(tiny_data: Tiny) -> Iterator[Tiny]:
    """Few scenes, of the tiny set's digits."""
    with tiny_scenes(tiny_data):
        yield tiny_data


@pytest.fixture(scope="session")
def captioner_run(tiny_data: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of an LSTM with attention; read it only."""
    run = tmp_path_factory.mktemp("runs") / "scenes"
    with tiny_scenes(tiny_data):
        fit(tiny_captioner(), run, tiny_data.folder)
    return run


@pytest.fixture(scope="session")
def captioner_package(tiny_data: Tiny, captioner_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Its package, alone in its repository; read it only."""
    with tiny_scenes(tiny_data):
        return write_captioner(from_run(captioner_run, tiny_data.folder), tmp_path_factory.mktemp("zoo"))
