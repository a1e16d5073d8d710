import csv
from pathlib import Path

import numpy as np
from PIL import Image

from training.craft.metric import ACCURACY, LOSS, Metric, columns
from training.history import History, Row, draw, write_csv

METRICS = (LOSS, ACCURACY)

ROWS: list[Row] = [
    {"epoch": epoch, **dict.fromkeys(columns(METRICS), 1 / epoch), "learning_rate": 0.1, "seconds": 1.0}
    for epoch in (1, 2, 3)
]


def test_the_csv_has_a_line_for_each_epoch(tmp_path: Path) -> None:
    write_csv(ROWS, tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [{key: float(value) for key, value in row.items()} for row in found] == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_the_picture_shows_the_curve_and_is_small(tmp_path: Path) -> None:
    draw(ROWS, METRICS, "a model", tmp_path / "curve.png")
    draw(ROWS[:2], METRICS, "a model", tmp_path / "other.png")
    with Image.open(tmp_path / "curve.png") as one, Image.open(tmp_path / "other.png") as other:
        assert one.size == other.size
        assert (np.asarray(one) != np.asarray(other)).any()
    assert (tmp_path / "curve.png").stat().st_size < 40_000


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw(ROWS, METRICS, "a model", tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_words_stand_below_the_picture_and_long_ones_are_broken(tmp_path: Path) -> None:
    draw(ROWS, METRICS, "a model", tmp_path / "plain.png")
    draw(ROWS, METRICS, "a model", tmp_path / "words.png", ["good fit: " + "both losses have levelled off, " * 8])
    with Image.open(tmp_path / "plain.png") as plain, Image.open(tmp_path / "words.png") as words:
        assert words.width == plain.width
        assert words.height > plain.height
        below = np.asarray(words.convert("L"))[plain.height + 5 :]
        assert (below < 128).any()  # ink
        assert (below[:, -10:] > 250).all()  # and none of it runs over the edge
    assert (tmp_path / "words.png").stat().st_size < 40_000


def test_one_epoch_can_be_drawn(tmp_path: Path) -> None:
    draw(ROWS[:1], METRICS, "a model", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 0


def test_each_metric_has_a_picture_beside_the_others_and_a_negative_loss_one_too(tmp_path: Path) -> None:
    metrics = (Metric("loss", "min"), ACCURACY, Metric("cider", "max", trained=False))
    rows = [{"epoch": epoch, **dict.fromkeys(columns(metrics), -1 / epoch)} for epoch in (1.0, 2.0)]
    assert "train_cider" not in rows[0]
    draw(rows, metrics, "a model", tmp_path / "three.png")
    draw(rows, metrics[:1], "a model", tmp_path / "one.png")
    with Image.open(tmp_path / "three.png") as three, Image.open(tmp_path / "one.png") as one:
        assert three.width == 3 * one.width


def test_a_checkpoint_carries_the_rows_over(tmp_path: Path) -> None:
    before, after = History(tmp_path / "history.csv", METRICS), History(tmp_path / "history.csv", METRICS)
    before.rows = list(ROWS)
    after.load_state_dict(before.state_dict())
    assert after.rows == ROWS
