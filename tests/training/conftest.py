from pathlib import Path

import pytest

from service.package import Package
from tests.training.tiny import Tiny, make_tiny, tiny_recipe
from training import data
from training.export import export
from training.fit import fit


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("data"))


@pytest.fixture
def tiny(tiny_data: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The tiny set in the place of MNIST."""
    monkeypatch.setattr(data, "SOURCES", {"mnist": tiny_data.source})
    return tiny_data


@pytest.fixture(scope="session")
def finished_run(tiny_data: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of softmax regression on the tiny set; read it only."""
    run = tmp_path_factory.mktemp("runs") / "softmax"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(data, "SOURCES", {"mnist": tiny_data.source})
        fit(tiny_recipe(), run, tiny_data.folder)
    return run


@pytest.fixture(scope="session")
def package(tiny_data: Tiny, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package of `finished_run`, alone in its repository; read it only."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(data, "SOURCES", {"mnist": tiny_data.source})
        return export(finished_run, tmp_path_factory.mktemp("zoo"), data=tiny_data.folder)
