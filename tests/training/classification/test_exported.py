"""A package that is exported again gets what newer exports have; the rest stays as it was."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from service.package import CARD, Package, read_package
from tests.needs import needs
from tests.packages import change_card
from tests.training.tiny import Tiny, tiny_recipe
from training.classification.ensemble import Ensemble
from training.classification.exported import from_package
from training.classification.package import write_package
from training.classification.subject import from_run, from_runs
from training.commands.export import export
from training.data import catalogue
from training.errors import ExportError
from training.export.how import How
from training.fit import fit
from training.packages import make_default

SMALL = ("epochs=1", "augmentation={}", "schedule={}", "gate.accuracy=0")
CALIBRATED = How(temperature=True)
POOLED = 'config={cam = true, normalisation = "batch", activation = "relu"}'


@pytest.fixture(scope="module")
@needs("fit")
def trained(tiny_data: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a LeNet-5 with batch normalisation, which its package has folded, and average pooling."""
    run = tmp_path_factory.mktemp("runs") / "lenet5"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(catalogue, "SOURCES", {"mnist": tiny_data.source})
        fit(tiny_recipe(*SMALL, POOLED, model="lenet5"), run, tiny_data.folder)
    return run


def written(run: Path, repository: Path, tiny: Tiny, how: How = CALIBRATED) -> Package:
    """The run's package, the default of its task."""
    return make_default(write_package(from_run(run, tiny.folder), repository, how=how))


def card(package: Package) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((package.folder / CARD).read_text())
    return found


@pytest.mark.parametrize("deconv", [True, False])
def test_the_same_exporter_gives_the_same_package(trained: Path, tiny: Tiny, tmp_path: Path, deconv: bool) -> None:
    before = written(trained, tmp_path / "before", tiny, How(temperature=True, deconv=deconv))
    after = write_package(from_package(before.folder, tiny.folder), tmp_path / "after")
    assert card(after) == card(before)
    assert after.classifier.serving.default
    assert ("deconv.onnx" in after.classifier.files) == deconv


def test_a_package_of_before_gets_an_embedding_and_keeps_its_temperature(
    trained: Path, tiny: Tiny, tmp_path: Path
) -> None:
    before = written(trained, tmp_path, tiny)
    change_card(before.folder, "embedding", None)
    change_card(before.folder, "provenance.temperature", 2.5)  # no other would be fitted
    assert read_package(before.folder).classifier.embedding is None
    after = write_package(from_package(before.folder, tiny.folder), tmp_path)
    assert card(after)["embedding"] == {"tensor": "embedding", "dimension": 16, "layer": "fc"}
    assert (after.card.version, after.classifier.provenance.temperature) == (2, 2.5)


def test_what_cannot_be_exported_again_is_refused(
    package: Package, finished_run: Path, captioner_package: Package, tiny: Tiny, tmp_path: Path
) -> None:
    small = write_package(from_run(finished_run, tiny.folder), tmp_path, how=How("int8"))
    ensemble = from_runs([finished_run, finished_run], "twice", tiny.folder)
    assert isinstance(ensemble.model, Ensemble)
    several = write_package(ensemble, tmp_path)
    other = write_package(from_run(finished_run, tiny.folder), tmp_path)
    change_card(other.folder, "provenance.dataset.files", {"train-images-idx3-ubyte": "0" * 64})
    for folder, words in (
        (small.folder, "are quantised to 8 bits"),
        (several.folder, r"the recipe in its card is not the recipe of a single run \("),
        (other.folder, "the files of mnist differ from those in its card; train again"),
        (captioner_package.folder, "its task is 'caption'; only a classifier's package can be exported again"),
    ):
        with pytest.raises(ExportError, match=words):
            from_package(folder, tiny.folder)


def test_the_command_takes_a_package_in_the_place_of_a_run(
    package: Package, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTORIUM_DATA", str(tiny.folder))
    for words in ([], ["--name", "again", "--int8"]):
        arguments = [str(package.folder), "--repository", str(tmp_path), *words]
        done = CliRunner().invoke(export, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert card(read_package(tmp_path / "softmax" / "1")) == card(package)
    assert read_package(tmp_path / "again-int8" / "1").classifier.provenance.weights == "int8"
