from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

from service.package import Package
from tests.needs import needs, watch
from tests.training import exports
from tests.training.captioning.tiny import tiny_captioner, tiny_scenes
from tests.training.tiny import Tiny, make_folder, make_tiny, make_tiny_colour, tiny_recipe
from training.captioning import subject as captioning
from training.captioning.package import write_captioner
from training.classification import subject as classification
from training.classification.package import write_package
from training.data import catalogue
from training.fit import fit

torch.onnx.export = exports.export_once  # type: ignore[assignment]
watch(torch.onnx, "export", "export")
watch(pl.Trainer, "fit", "fit")


@pytest.fixture
def traced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network is traced as often as it is exported."""
    monkeypatch.setattr(exports, "remembers", False)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny_colour_data(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny_colour(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 digits as PNG files by class; read it only."""
    return make_folder(tmp_path_factory.mktemp("folders") / "digits")


@pytest.fixture
def tiny(tiny_data: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The tiny set in the place of MNIST."""
    monkeypatch.setattr(catalogue, "SOURCES", {"mnist": tiny_data.source})
    return tiny_data


@pytest.fixture
def tiny_colour(tiny_colour_data: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The tiny set in the place of CIFAR-10."""
    monkeypatch.setattr(catalogue, "SOURCES", {"cifar10-jpeg": tiny_colour_data.source})
    return tiny_colour_data


@pytest.fixture(scope="session")
@needs("fit")
def finished_run(tiny_data: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of softmax regression on the tiny set; read it only."""
    run = tmp_path_factory.mktemp("runs") / "softmax"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(catalogue, "SOURCES", {"mnist": tiny_data.source})
        fit(tiny_recipe(), run, tiny_data.folder)
    return run


@pytest.fixture(scope="session")
@needs("fit", "export")
def package(tiny_data: Tiny, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package of `finished_run`, alone in its repository; read it only."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(catalogue, "SOURCES", {"mnist": tiny_data.source})
        subject = classification.from_run(finished_run, tiny_data.folder)
        return write_package(subject, tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def scenes(tiny_data: Tiny) -> Iterator[Tiny]:
    """Few scenes, of the tiny set's digits."""
    with tiny_scenes(tiny_data):
        yield tiny_data


@pytest.fixture(scope="session")
@needs("fit")
def captioner_run(tiny_data: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of an LSTM with attention; read it only."""
    run = tmp_path_factory.mktemp("runs") / "scenes"
    with tiny_scenes(tiny_data):
        fit(tiny_captioner(), run, tiny_data.folder)
    return run


@pytest.fixture(scope="session")
@needs("fit", "export")
def captioner_package(tiny_data: Tiny, captioner_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Its package, alone in its repository; read it only."""
    with tiny_scenes(tiny_data):
        subject = captioning.from_run(captioner_run, tiny_data.folder)
        return write_captioner(subject, tmp_path_factory.mktemp("zoo"))
