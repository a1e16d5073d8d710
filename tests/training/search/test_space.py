import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.tiny import tiny_recipe
from training.errors import RecipeError
from training.search.space import Choice, Range, changed, grid, load_space

FILE = """
batch_size = [16, 32]
epochs = { low = 2, high = 5 }

[optimiser]
learning_rate = { low = 1e-4, high = 1.0, log = true }

[config]
hidden = [[8], [8, 4]]
"""


def drawn(range_: Range | Choice, count: int = 40) -> list[Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    return [range_.draw("key", study.ask()) for _ in range(count)]


def test_a_space_looks_like_a_recipe_with_ranges_in_the_place_of_values(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(FILE)
    assert load_space(path) == {
        "batch_size": Choice(values=(16, 32)),
        "epochs": Range(low=2, high=5),
        "optimiser.learning_rate": Range(low=1e-4, high=1.0, log=True),
        "config.hidden": Choice(values=([8], [8, 4])),
    }


def test_a_range_of_the_command_line_is_added_or_takes_the_place_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(FILE)
    space = load_space(path, ["batch_size=[64]", 'optimiser.name = ["sgd", "adamw"]'])
    assert space["batch_size"] == Choice(values=(64,))
    assert space["optimiser.name"] == Choice(values=("sgd", "adamw"))
    assert len(space) == 5


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("epochs={low = 5, high = 2}", "epochs: low is 5; it must be below high, 2"),
        ("epochs={low = 2}", "epochs.high: Field required"),
        ("epochs={low = 2, high = 5, steps = 2}", "epochs.steps: unknown key; did you mean 'step'"),
        ("epochs={low = 2, high = '5'}", "epochs.high: Input should be a valid"),
        ("epochs={low = true, high = 5}", "epochs.low: Input should be a valid"),
        ("ema={low = 0.0, high = inf}", "ema.high: Input should be a finite number"),
        ("ema={low = 0.0, high = 0.9, log = true}", "ema: low is 0.0; with log it must be above 0"),
        ("ema={low = 0.1, high = 0.9, log = true, step = 0.1}", "ema: step and log exclude each other"),
        ("ema={low = 0.1, high = 0.9, points = 3, step = 0.1}", "ema: step and points exclude each other"),
        (
            "epochs={low = 2, high = 5, step = 0.5}",
            "epochs: step is 0.5; between whole numbers it must be a whole number",
        ),
        ("epochs={low = 2, high = 5, step = 0}", "epochs.step: Input should be greater than 0"),
        ("epochs={low = 2, high = 5, points = 1}", "epochs.points: Input should be greater"),
        ("epochs=[]", "epochs: Tuple should have at least 1 item"),
        ("epochs=5", "epochs: Input should be a valid tuple"),
        ("epochs", "'epochs': a range is written key={low"),
        ("epochs=adam", "'epochs=adam': a range is written key={low"),
    ],
)
def test_what_is_no_range_is_refused_by_key(written: str, named: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_space(None, [written])
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_a_space_without_a_range_or_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no range to search"):
        load_space(None)
    with pytest.raises(RecipeError, match=r"none\.toml"):
        load_space(tmp_path / "none.toml")


def test_whole_ends_give_whole_numbers_and_all_of_them() -> None:
    numbers = drawn(Range(low=2, high=5))
    assert all(isinstance(number, int) for number in numbers)
    assert set(numbers) == {2, 3, 4, 5}


def test_a_step_keeps_to_its_multiples_within_the_ends() -> None:
    assert set(drawn(Range(low=16, high=60, step=16))) == {16, 32, 48}
    assert {round(number, 9) for number in drawn(Range(low=0.0, high=0.5, step=0.2))} == {0.0, 0.2, 0.4}


def test_a_logarithmic_range_draws_as_many_below_the_geometric_mean_as_above() -> None:
    numbers = drawn(Range(low=1e-4, high=1.0, log=True), 400)
    below = sum(number < 1e-2 for number in numbers)
    assert 160 < below < 240
    assert all(1e-4 <= number <= 1.0 for number in numbers)
    assert sum(number < 1e-2 for number in drawn(Range(low=1e-4, high=1.0), 400)) < 20


def test_a_choice_may_be_of_lists() -> None:
    assert [8, 4] in drawn(Choice(values=([8], [8, 4])))
    assert all(value in ([8], [8, 4]) for value in drawn(Choice(values=([8], [8, 4]))))


@pytest.mark.parametrize(
    ("range_", "numbers"),
    [
        (Range(low=2, high=5), [2, 3, 4, 5]),
        (Range(low=16, high=60, step=16), [16, 32, 48]),
        (Range(low=0.0, high=1.0, step=0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Range(low=0.0, high=1.0, points=3), [0.0, 0.5, 1.0]),
        (Range(low=1e-3, high=1e-1, log=True, points=3), [1e-3, 1e-2, 1e-1]),
        (Range(low=16, high=256, log=True, points=5), [16, 32, 64, 128, 256]),
        (Range(low=1, high=3, points=5), [1, 2, 3]),
        (Choice(values=("sgd", [1])), ["sgd", [1]]),
    ],
)
def test_what_a_grid_tries_of_a_range(range_: Range | Choice, numbers: list[Any]) -> None:
    assert all(
        one == (pytest.approx(other) if isinstance(other, float) else other)
        for one, other in zip(range_.grid(), numbers, strict=True)
    )


numbers = st.one_of(st.integers(1, 1000), st.floats(1e-6, 1e6))


@given(numbers, numbers, st.booleans(), st.integers(2, 50))
def test_a_grid_of_points_goes_from_end_to_end_and_upwards(one: float, other: float, log: bool, points: int) -> None:
    low, high = sorted((one, other))
    if not math.nextafter(low, math.inf) * 1.001 < high:
        return
    range_ = Range(low=low, high=high, log=log, points=points)
    tried = range_.grid()
    assert (tried[0], tried[-1]) == (low, high)
    assert tried == sorted(set(tried))
    assert len(tried) == points or range_.whole


def test_the_grid_has_every_combination_once() -> None:
    points = grid({"epochs": Range(low=1, high=2), "optimiser.name": Choice(values=("sgd", "adamw"))})
    assert [tuple(point.values()) for point in points] == [(1, "sgd"), (1, "adamw"), (2, "sgd"), (2, "adamw")]
    assert list(points[0]) == ["epochs", "optimiser.name"]


def test_a_grid_of_fractions_without_points_or_of_too_many_is_refused_by_key() -> None:
    with pytest.raises(RecipeError, match="ema: a grid needs points or a step"):
        grid({"ema": Range(low=0.1, high=0.9)})
    with pytest.raises(RecipeError, match="seed: with it the grid has more than 10,000 points"):
        grid({"epochs": Range(low=1, high=101), "seed": Range(low=1, high=100)})


def test_changes_replace_values_at_any_depth_and_leave_the_recipe_as_it_was() -> None:
    recipe = tiny_recipe()
    other = changed(recipe, {"epochs": 7, "optimiser.learning_rate": 0.5, "config.hidden": [8]})
    assert (other.epochs, other.optimiser.learning_rate, other.config) == (7, 0.5, {"hidden": [8]})
    assert recipe == tiny_recipe()
    assert changed(other, {"epochs": 3, "optimiser.learning_rate": 0.01, "config": {}}) == recipe


def test_a_change_of_what_a_recipe_does_not_have_is_refused_by_key() -> None:
    with pytest.raises(RecipeError, match=r"optimiser\.rate: unknown key"):
        changed(tiny_recipe(), {"optimiser.rate": 0.1})
    with pytest.raises(RecipeError, match=r"epochs"):
        changed(tiny_recipe(), {"epochs.more": 1})
