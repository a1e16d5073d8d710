from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from models.classification.rows import build
from models.layers.pixels import normalise, unit
from service.package import Embedding, Package, read_package
from tests.training.tiny import Tiny, tiny_recipe
from training.checkpoint import read_checkpoint
from training.classification.evaluate import ask, score
from training.classification.graph import Served
from training.classification.package import stored_model, write_package
from training.classification.served_file import logits
from training.classification.subject import Subject, from_run
from training.errors import ExportError, RunError
from training.export import writer
from training.export.how import How
from training.export.onnx_file import trace
from training.fit import fit
from training.packages import largest_batch, shrink

pytestmark = pytest.mark.export


def everything_under(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_the_package_is_whole_and_says_where_it_comes_from(package: Package, finished_run: Path) -> None:
    card = read_package(package.folder).classifier
    assert card == package.classifier
    assert {path.name for path in package.folder.iterdir()} == {"model.json", *card.files}
    assert set(card.files) == {"model.onnx", "labels.txt", "golden.npz", "card.png", "reliability.png"}
    assert package.labels == tuple("0123456789")
    said = card.provenance
    assert said.recipe == tiny_recipe().model_dump(mode="json")
    assert said.dataset is not None
    assert said.dataset.splits == {"training": 180, "validation": 40, "test": 80}
    assert (said.parameters, said.macs) == (7_850, 7_840)
    trained = read_checkpoint(finished_run)
    assert (said.created, said.trained_commit) == (trained.created, trained.git_commit)
    assert {"kornia", "torchmetrics", "pillow"} <= said.libraries.keys()
    assert list(said.parity) == ["1", "3", "64"]
    assert said.metrics["accuracy"] >= 0.5
    assert said.metrics.keys() == {"accuracy", "cross_entropy", "ece"}
    assert (said.weights, said.temperature) == ("float16", 1.0)
    assert [path.name for path in package.folder.parent.parent.iterdir()] == ["softmax"]


@pytest.mark.usefixtures("traced_anew")
def test_the_same_run_gives_the_same_bytes(package: Package, tiny: Tiny, finished_run: Path, tmp_path: Path) -> None:
    again = write_package(from_run(finished_run, tiny.folder), tmp_path)
    for path in package.folder.iterdir():
        assert path.read_bytes() == (again.folder / path.name).read_bytes(), path.name


def test_the_next_free_version_is_taken(subject: Subject, tmp_path: Path) -> None:
    versions = [write_package(subject, tmp_path, version=version).card.version for version in (None, 5, None)]
    assert versions == [1, 5, 6]


def test_a_version_that_exists_is_not_touched(subject: Subject, tmp_path: Path) -> None:
    folder = write_package(subject, tmp_path).folder
    (folder / "model.json").write_text("mine")
    with pytest.raises(ExportError, match="exists; a version never changes"):
        write_package(subject, tmp_path, version=1)
    assert (folder / "model.json").read_text() == "mine"


def test_replace_replaces_the_version_whole(subject: Subject, tmp_path: Path) -> None:
    folder = write_package(subject, tmp_path).folder
    (folder / "stray").write_text("of the old one")
    write_package(subject, tmp_path, version=1, replace=True)
    assert not (folder / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == [subject.name]


@pytest.mark.parametrize("name", ["../outside", "a/b", "", "x" * 65, ".hidden"])
def test_a_name_that_is_no_package_name_is_refused(subject: Subject, name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is no package name"):
        write_package(replace(subject, name=name), tmp_path / "zoo")
    assert everything_under(tmp_path) == []


def test_a_missed_gate_refuses_and_leaves_the_repository_as_it_was(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"gate, on the validation split: accuracy is 0\.\d{4}; at least 1 is"):
        write_package(replace(subject, gate=1.0), tmp_path)
    assert everything_under(tmp_path) == []


def test_the_validation_split_alone_decides(subject: Subject, tmp_path: Path) -> None:
    assert subject.validation is not None
    assert subject.test is not None
    wrong = replace(subject.test, labels=(subject.test.labels + 1) % 10)
    said = write_package(replace(subject, test=wrong), tmp_path).classifier.provenance
    assert said.metrics["accuracy"] < 0.5 < said.validation["accuracy"]
    wrong = replace(subject.validation, labels=(subject.validation.labels + 1) % 10)
    with pytest.raises(ExportError, match=r"gate, on the validation split: accuracy is 0\.\d{4}; at least 0.5"):
        write_package(replace(subject, validation=wrong), tmp_path)
    with pytest.raises(ExportError, match="its gate needs examples that were not trained on; there are none"):
        write_package(replace(subject, validation=None, temperature=False), tmp_path)


def test_metrics_have_intervals_around_them(package: Package) -> None:
    said = package.classifier.provenance
    assert set(said.intervals) == {"accuracy", "cross_entropy"}
    for name, (low, high) in said.intervals.items():
        assert low < said.metrics[name] < high
    assert set(said.validation) == set(said.metrics)


def test_a_subject_without_a_gate_is_only_measured(subject: Subject, tmp_path: Path) -> None:
    package = write_package(replace(subject, gate=None), tmp_path)
    assert package.classifier.provenance.metrics["accuracy"] > 0.5


def test_broken_parity_refuses_and_leaves_the_repository_as_it_was(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_package(subject, tmp_path).folder
    before = {path: path.read_bytes() for path in everything_under(tmp_path) if path.is_file()}

    def other_weights(served: Served, *how: Any) -> onnx.ModelProto:
        model = stored_model(subject.model, "float16")
        with torch.no_grad():
            model.get_parameter("fc.weight")[0, 0] += 0.1
        return trace(Served(model, served.mean, served.std), *how)

    monkeypatch.setattr(writer, "trace", other_weights)
    for refused in (2, 1):
        with pytest.raises(ExportError, match=r"parity, batch \d+: differs"):
            write_package(subject, tmp_path, version=refused, replace=True)
    assert {path: path.read_bytes() for path in everything_under(tmp_path) if path.is_file()} == before
    read_package(old)


@pytest.mark.fit
def test_an_unfinished_run_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(tiny_recipe("epochs=1"), run, tiny.folder)
    content = torch.load(run / "last.ckpt", weights_only=True)
    content["lectorium"]["recipe"]["epochs"] = 3
    torch.save(content, run / "last.ckpt")
    with pytest.raises(RunError, match="1 of 3 epochs are done"):
        from_run(run, tiny.folder)


def test_float32_is_what_torch_computes_and_float16_next_to_it(subject: Subject, tmp_path: Path) -> None:
    assert subject.test is not None
    images = subject.test.images
    with torch.no_grad():
        x = normalise(unit(torch.from_numpy(images)), subject.mean, subject.std)
        wanted = torch.softmax(subject.model(x), 1).numpy()
    found = {
        weights: ask(tmp_path, write_package(subject, tmp_path, how=How(weights)), images)
        for weights in ("float32", "float16")
    }
    np.testing.assert_allclose(found["float32"], wanted, atol=1e-5)
    np.testing.assert_allclose(found["float16"], wanted, atol=5e-3)
    assert (found["float16"] != found["float32"]).any()


def test_the_card_offers_activation_maps_where_the_network_has_some(
    subject: Subject, package: Package, tmp_path: Path
) -> None:
    card = write_package(subject, tmp_path).classifier
    assert card.explain.cam is not None
    assert card.explain.cam.tensor == "cam"
    assert {spec.name: spec.shape for spec in card.graph.outputs} == {
        "probabilities": (-1, 10),
        "cam": (-1, 10, 5, 5),
        "embedding": (-1, 16),
    }
    assert card.embedding == Embedding(tensor="embedding", dimension=16, layer="fc")
    assert package.classifier.embedding is None
    assert package.classifier.explain.cam is None


@pytest.mark.parametrize(("how", "offered"), [(How(), True), (How(deconv=False), False), (How("int8"), False)])
def test_the_way_back_is_in_the_package_unless_it_shall_be_small(
    subject: Subject, how: How, offered: bool, tmp_path: Path
) -> None:
    package = write_package(subject, tmp_path, how=how)
    deconv = package.classifier.explain.deconv
    assert ("deconv.onnx" in package.classifier.files) == offered == (deconv is not None)
    with np.load(package.path("golden.npz")) as golden:
        assert ("deconv.reconstructions" in golden) == offered
    if deconv is not None:
        assert deconv.layers == ("c1", "c3")
        assert deconv.graph.file == "deconv.onnx"


def test_a_network_without_convolutions_has_no_way_back(package: Package) -> None:
    assert package.classifier.explain.deconv is None


def test_a_temperature_is_on_the_card_and_in_the_answers(subject: Subject, tmp_path: Path) -> None:
    assert subject.validation is not None
    assert subject.test is not None
    plain, calibrated = (write_package(subject, tmp_path, how=How(temperature=wanted)) for wanted in (False, True))
    said = calibrated.classifier.provenance
    assert said.recipe["temperature"] is True
    assert said.temperature != 1
    served = Served(stored_model(subject.model, "float16"), subject.mean, subject.std)
    scores = torch.from_numpy(logits(served, subject.test.images)) / said.temperature
    found = ask(tmp_path, calibrated, subject.test.images)
    np.testing.assert_allclose(found, torch.softmax(scores, 1).numpy(), atol=1e-5)
    # What would be without it is what was without it.
    before = plain.classifier.provenance.metrics
    assert said.metrics["ece_uncalibrated"] == pytest.approx(before["ece"], abs=1e-4)
    assert said.metrics["accuracy"] == before["accuracy"]


def test_a_temperature_lowers_the_loss_on_what_it_was_fitted_on(subject: Subject, tmp_path: Path) -> None:
    assert subject.validation is not None
    losses = []
    for wanted in (False, True):
        package = write_package(subject, tmp_path, how=How("float32", wanted))
        probabilities = ask(tmp_path, package, subject.validation.images)
        losses.append(score(probabilities, subject.validation.labels)["cross_entropy"])
    assert losses[1] < losses[0]


def test_the_recipe_says_whether_there_is_a_temperature(subject: Subject, tmp_path: Path) -> None:
    package = write_package(replace(subject, temperature=True), tmp_path)
    assert package.classifier.provenance.temperature != 1


def test_without_held_out_images_there_is_no_temperature(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="a temperature needs images that were not trained on; there are none"):
        write_package(replace(subject, validation=None), tmp_path, how=How(temperature=True))


def test_what_nothing_was_measured_on_has_no_metrics(subject: Subject, tmp_path: Path) -> None:
    bare = replace(subject, training=None, validation=None, test=None, dataset=None, history=(), gate=None)
    package = write_package(bare, tmp_path)
    assert package.classifier.provenance.metrics == {}
    assert package.classifier.provenance.dataset is None
    assert set(package.classifier.files) == {"model.onnx", "deconv.onnx", "labels.txt", "golden.npz"}


@pytest.mark.parametrize(
    ("macs", "rows"), [(0, 64), (40_000_000, 64), (1_814_073_344, 8), (400_000_000, 32), (19_632_062_464, 8)]
)
def test_the_largest_batch_shrinks_with_the_work_of_a_row(macs: int, rows: int) -> None:
    assert largest_batch(macs) == rows


def test_a_picture_is_shrunk_and_still_the_same_picture(tmp_path: Path) -> None:
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[50:100, 20:200] = (31, 119, 180)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=0)
    before = (tmp_path / "a.png").stat().st_size
    shrink(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < before / 10
    with Image.open(tmp_path / "a.png") as picture:
        assert (np.asarray(picture.convert("RGB")) == pixels).all()


def test_a_model_that_learns_nothing_is_exported_too(subject: Subject, tmp_path: Path) -> None:
    assert subject.training is not None
    model = build("neighbours", {"rows": 180})
    images = normalise(unit(torch.from_numpy(subject.training.images.copy())), subject.mean, subject.std)
    model.get_submodule("").remember(images, torch.from_numpy(subject.training.labels))  # type: ignore[operator]
    package = write_package(replace(subject, model=model.eval(), name="neighbours", history=()), tmp_path)
    assert package.classifier.provenance.parameters == 0
    assert package.classifier.provenance.metrics["accuracy"] > 0.5
