from pathlib import Path

import numpy as np
import pytest
import torch

from service.package import Package, read_package
from tests.training.tiny import Tiny, digits, tiny_recipe
from training.checkpoint import read_checkpoint
from training.data import Split
from training.errors import ExportError, RunError
from training.export import export, one_of_each
from training.fit import fit
from training.graph import Served
from training.onnx_file import write_onnx


def everything_under(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_the_package_is_whole_and_says_where_it_comes_from(package: Package, finished_run: Path) -> None:
    card = read_package(package.folder).classifier
    assert card == package.classifier
    assert {path.name for path in package.folder.iterdir()} == {"model.json", *card.files}
    assert set(card.files) == {"model.onnx", "labels.txt", "golden.npz", "card.png"}
    assert package.labels == tuple("0123456789")
    said = card.provenance
    assert said.recipe == tiny_recipe().model_dump(mode="json")
    assert said.dataset.splits == {"training": 180, "validation": 40, "test": 80}
    assert (said.parameters, said.macs) == (7_850, 7_840)
    assert said.created == read_checkpoint(finished_run).created
    assert list(said.parity) == ["1", "3", "64"]
    assert said.metrics["accuracy"] >= 0.5
    assert [path.name for path in package.folder.parent.parent.iterdir()] == ["softmax"]


def test_the_golden_example_is_torchs_answer_to_real_digits(package: Package, tiny: Tiny, finished_run: Path) -> None:
    with np.load(package.path(package.classifier.golden.file)) as golden:
        images, probabilities = golden["image"], golden["probabilities"]
    served = Served(read_checkpoint(finished_run).model(), tiny.source.mean, tiny.source.std)
    assert images.shape == (10, 28, 28)
    torch.testing.assert_close(served(torch.from_numpy(images)).detach(), torch.from_numpy(probabilities))


def test_the_same_run_gives_the_same_bytes(package: Package, tiny: Tiny, finished_run: Path, tmp_path: Path) -> None:
    again = export(finished_run, tmp_path, data=tiny.folder)
    for path in package.folder.iterdir():
        assert path.read_bytes() == (again.folder / path.name).read_bytes(), path.name


def test_the_next_free_version_is_taken(tiny: Tiny, finished_run: Path, tmp_path: Path) -> None:
    versions = [export(finished_run, tmp_path, version=v, data=tiny.folder).card.version for v in (None, 5, None)]
    assert versions == [1, 5, 6]


def test_a_version_that_exists_is_not_touched(tiny: Tiny, finished_run: Path, tmp_path: Path) -> None:
    folder = export(finished_run, tmp_path, data=tiny.folder).folder
    (folder / "model.json").write_text("mine")
    with pytest.raises(ExportError, match="exists; a version never changes"):
        export(finished_run, tmp_path, version=1, data=tiny.folder)
    assert (folder / "model.json").read_text() == "mine"


def test_replace_replaces_the_version_whole(tiny: Tiny, finished_run: Path, tmp_path: Path) -> None:
    folder = export(finished_run, tmp_path, data=tiny.folder).folder
    (folder / "stray").write_text("of the old one")
    export(finished_run, tmp_path, version=1, replace=True, data=tiny.folder)
    assert not (folder / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["softmax"]


def test_a_missed_gate_refuses_and_leaves_the_repository_as_it_was(tiny: Tiny, tmp_path: Path) -> None:
    fit(tiny_recipe("epochs=1", "gate.accuracy=1.0"), tmp_path / "run", tiny.folder)
    zoo = tmp_path / "zoo"
    with pytest.raises(ExportError, match=r"accuracy gate: 0\.\d{4} on the test split, the recipe asks for 1\.0"):
        export(tmp_path / "run", zoo, data=tiny.folder)
    assert everything_under(zoo) == []


def test_broken_parity_refuses_and_leaves_the_repository_as_it_was(
    tiny: Tiny, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = export(finished_run, tmp_path, data=tiny.folder).folder
    before = {path: path.read_bytes() for path in everything_under(tmp_path) if path.is_file()}

    def write_other_weights(served: Served, height: int, width: int, path: Path) -> None:
        other = Served(read_checkpoint(finished_run).model(), served.mean, served.std * 1.01)
        write_onnx(other, height, width, path)

    monkeypatch.setattr("training.export.write_onnx", write_other_weights)
    for refused in (2, 1):
        with pytest.raises(ExportError, match=r"parity, batch \d+: differs"):
            export(finished_run, tmp_path, version=refused, replace=True, data=tiny.folder)
    assert {path: path.read_bytes() for path in everything_under(tmp_path) if path.is_file()} == before
    read_package(old)


def test_an_unfinished_run_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(tiny_recipe("epochs=1"), run, tiny.folder)
    content = torch.load(run / "last.ckpt", weights_only=True)
    content["lectorium"]["recipe"]["epochs"] = 3
    torch.save(content, run / "last.ckpt")
    with pytest.raises(RunError, match="1 of 3 epochs done"):
        export(run, tmp_path / "zoo", data=tiny.folder)


def test_golden_images_are_one_of_each_class_in_order() -> None:
    images, labels = digits()
    label_of = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert [label_of[image.tobytes()] for image in one_of_each(Split(images, labels))] == list(range(10))
