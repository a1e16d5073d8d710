from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.package import Package
from tests.needs import needs
from tests.training.generation.tiny import tiny_vae
from tests.training.tiny import Tiny
from training.data import catalogue
from training.fit import fit
from training.generation.package import write_generator
from training.generation.subject import from_run


@contextmanager
def tiny_digits(data: Tiny) -> Iterator[None]:
    """The tiny set in the place of MNIST."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "SOURCES", {"mnist": data.source})
        yield


@pytest.fixture(scope="session")
@needs("fit")
def vae_run(tiny_data: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a VAE; read it only."""
    run = tmp_path_factory.mktemp("runs") / "mnist-vae"
    with tiny_digits(tiny_data):
        fit(tiny_vae(), run, tiny_data.folder, progress=False)
    return run


@pytest.fixture(scope="session")
@needs("fit", "export")
def vae_package(tiny_data: Tiny, vae_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Its package, alone in its repository; read it only."""
    with tiny_digits(tiny_data):
        return write_generator(from_run(vae_run, tiny_data.folder), tmp_path_factory.mktemp("zoo"))
