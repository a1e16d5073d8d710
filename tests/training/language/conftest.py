from collections.abc import Iterator
from pathlib import Path

import pytest

from service.package import Package
from tests.needs import needs
from tests.training.language.tiny import tiny_recogniser
from training.fit import fit
from training.language import evaluate
from training.language.package import from_run, write_recogniser


@pytest.fixture(scope="session", autouse=True)
def few_pieces() -> Iterator[None]:
    """To measure on."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(evaluate, "PIECES", 280)
        yield


@pytest.fixture(scope="session")
@needs("fit")
def recogniser_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read it only."""
    run = tmp_path_factory.mktemp("runs") / "language"
    fit(tiny_recogniser(), run, progress=False)
    return run


@pytest.fixture(scope="session")
@needs("fit", "export")
def recogniser_package(recogniser_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Its package, alone in its repository; read it only."""
    return write_recogniser(from_run(recogniser_run), tmp_path_factory.mktemp("zoo"))
