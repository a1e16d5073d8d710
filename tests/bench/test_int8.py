import json
from pathlib import Path
from shutil import copytree

import numpy as np
import onnx
import pytest

from deploy.bench import bare, int8
from deploy.bench.int8 import Pair, loss, pairs, resnet18, speed
from deploy.bench.subject import Subject
from service.package import CARD
from training.errors import DataError

ZOO = Path("models/zoo")


def beside_itself(repository: Path, network: str, metric: str) -> Pair:
    """A network under its name and that of its int8 variant, whose card says 0.3 points less of the ``metric``."""
    for name, lost in ((network, 0.0), (f"{network}-int8", 0.003)):
        copytree(ZOO / network / "1", repository / name / "1")
        path = repository / name / "1" / CARD
        card = json.loads(path.read_text())
        card["name"] = name
        card["provenance"]["metrics"][metric] -= lost
        path.write_text(json.dumps(card))
    return Pair(repository, network, card["task"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """LeNet-5; read it only."""
    return beside_itself(tmp_path_factory.mktemp("zoo"), "lenet5", "accuracy")


def test_what_has_an_int8_variant_beside_it_is_a_pair(pair: Pair, tmp_path: Path) -> None:
    assert pairs(pair.repository) == [pair]
    for name in ("a-int8", "b"):
        (tmp_path / name).mkdir()
    assert pairs(tmp_path) == []


def test_a_segmenter_loses_mean_iou(tmp_path: Path) -> None:
    pair = beside_itself(tmp_path, "scenes-unet", "mean_iou")
    assert pairs(tmp_path) == [pair]
    row = loss(pair, None)
    assert row.what == "scenes-unet, mean_iou lost by int8, by their cards"
    assert row.value == pytest.approx(0.3)


def test_the_speed_is_int8s_over_floats_round_by_round(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a machine that slows down: the ratio stays."""
    pace = iter([100.0, 360.0, 80.0, 210.0, 60.0])
    monkeypatch.setattr(bare, "rows_per_s", lambda subject, *_: next(pace))
    monkeypatch.setattr(bare, "best_way", lambda *_: bare.Way(1, 1, 1))
    row = speed("LeNet-5", pair, 2, 1, int8.SPEED)
    assert row.met
    assert row.value == pytest.approx(3.5)
    assert dict(row.beside) == pytest.approx(
        {"float images/s": 80.0, "int8 images/s": 285.0, "lowest": 3.0, "highest": 4.0}
    )


def test_the_speed_of_a_real_pair_is_measured(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare, "BATCHES", (1,))
    row = speed("LeNet-5", pair, 1, 0)
    assert row.value > 0
    assert row.target is None


def test_without_data_the_loss_is_what_the_cards_say(pair: Pair) -> None:
    row = loss(pair, None)
    assert row.what == "lenet5, accuracy lost by int8, by their cards"
    assert row.met
    assert row.value == pytest.approx(0.3)
    assert row.beside["float %"] - row.beside["int8 %"] == pytest.approx(0.3)


def test_data_that_cannot_be_read_is_an_error_and_not_a_card(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (tmp_path / "mnist" / name).write_bytes(b"no idx file")
    with pytest.raises(DataError):
        loss(pair, tmp_path)


@pytest.mark.slow
def test_resnet18_in_int8_is_quantised_and_answers_nearly_as_in_float(tmp_path: Path) -> None:
    pair = resnet18(tmp_path)
    whole, small = (Subject(tmp_path, name, wanted=["probabilities"]) for name in (pair.name, pair.int8))
    assert small.graph.stat().st_size < whole.graph.stat().st_size / 3
    operators = {node.op_type for node in onnx.load(small.graph).graph.node}
    assert "DequantizeLinear" in operators
    wanted, came = whole.outputs["probabilities"], small.outputs["probabilities"]
    assert np.abs(came - wanted).max() < 0.1 * wanted.max()
    written = small.graph.stat().st_mtime_ns
    resnet18(tmp_path)
    assert small.graph.stat().st_mtime_ns == written
