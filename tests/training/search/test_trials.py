import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.tiny import tiny_recipe
from training.craft.metric import ACCURACY, LOSS, Metric
from training.recipe import load_recipe
from training.search.space import Choice, Range, Space
from training.search.trials import Result, State, best, draw, write_csv, write_recipe

SPACE: Space = {
    "optimiser.learning_rate": Range(low=1e-4, high=1.0, log=True),
    "config.hidden": Choice(values=([8], [8, 4])),
    "optimiser.name": Choice(values=("sgd", "adamw")),
}


def result(number: int, state: State, value: float | None, rate: float = 0.123456) -> Result:
    changes = {"optimiser.learning_rate": rate, "config.hidden": [8, 4], "optimiser.name": "sgd"}
    return Result(number, state, value, 3, changes, Path(f"search/trial-{number:03}"))


RESULTS = [
    result(0, "complete", 0.5),
    result(1, "failed", None),
    result(2, "pruned", 0.99),
    result(3, "complete", 0.7),
    result(4, "pruned", None),
]


@pytest.mark.parametrize(("metric", "number"), [(ACCURACY, 3), (LOSS, 0)])
def test_the_best_is_the_best_of_the_complete(metric: Metric, number: int) -> None:
    winner = best(RESULTS, metric)
    assert winner is not None
    assert winner.number == number
    assert best(RESULTS[1:3], metric) is None


def test_of_equals_the_first_is_the_best() -> None:
    equals = [result(0, "complete", 0.5), result(1, "complete", 0.5)]
    assert best(equals, ACCURACY) == best(equals, LOSS) == equals[0]


def test_a_trial_is_told_in_a_line() -> None:
    assert str(RESULTS[0]) == (
        "trial-000: 0.5000 complete after 3 epochs, "
        "optimiser.learning_rate 0.1235, config.hidden [8, 4], optimiser.name sgd"
    )
    assert "no value failed" in str(RESULTS[1])
    assert str(replace(RESULTS[1], reason="it diverged")).endswith("optimiser.name sgd: it diverged")


def test_the_csv_has_every_digit_and_an_empty_cell_where_there_is_no_value(tmp_path: Path) -> None:
    write_csv(RESULTS, ACCURACY, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["validation_accuracy"] for line in lines] == ["0.5", "", "0.99", "0.7", ""]
    assert lines[0]["optimiser.learning_rate"] == "0.123456"
    assert lines[0]["config.hidden"] == "[8, 4]"
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


def test_a_written_recipe_is_read_as_the_same(tmp_path: Path) -> None:
    recipe = load_recipe("mlp", ["config.hidden=[8, 4]", "optimiser.learning_rate=1e-5", "augmentation.shift=2"])
    write_recipe(recipe, "a search", tmp_path / "best.toml")
    assert load_recipe(str(tmp_path / "best.toml")) == recipe
    assert (tmp_path / "best.toml").read_text().startswith("# a search\n")
    write_recipe(tiny_recipe("fold={index=1, of=3}", "bootstrap=true"), "a search", tmp_path / "best.toml")
    assert load_recipe(str(tmp_path / "best.toml")) == tiny_recipe("fold={index=1, of=3}", "bootstrap=true")


def test_the_picture_shows_every_trial_that_has_a_value_and_the_same_give_the_same_bytes(tmp_path: Path) -> None:
    for name, results in {"one": RESULTS, "two": RESULTS, "fewer": RESULTS[:3]}.items():
        draw(results, SPACE, ACCURACY, tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "fewer.png") as fewer:
        assert one.size == fewer.size
        assert (np.asarray(one) != np.asarray(fewer)).any()


def test_a_search_of_failures_alone_is_drawn_too(tmp_path: Path) -> None:
    failures = [result(0, "failed", None), result(1, "pruned", None)]
    draw(failures, SPACE, LOSS, tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 1000
    assert best(failures, LOSS) is None
