"""Losses below 0, as a density's are: schedule, rate finder, curves."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.training.toys import toy_recipe, toys
from training.fit import fit
from training.search.rate_finder import LEAST, diverged, draw, find_rate


@pytest.fixture(autouse=True)
def _toys() -> Iterator[None]:
    with toys():
        yield


@pytest.mark.fit
def test_a_run_falls_below_0_and_its_plateau_lowers_the_rate_only_where_it_stays(tmp_path: Path) -> None:
    adam = {"name": "adam", "learning_rate": 0.2}
    plateau = {"name": "plateau", "patience": 0, "factor": 0.5}
    done = fit(toy_recipe("toy-density", epochs=8, optimiser=adam, schedule=plateau), tmp_path, progress=False)
    losses = [row["validation_loss"] for row in done.history]
    assert min(losses) < -1
    fraction, best, wanted = 1.0, math.inf, []
    for loss in losses:
        wanted.append(0.2 * fraction)
        fraction, best = (fraction, loss) if loss < best - 1e-4 * abs(min(best, 1e9)) else (fraction / 2, best)
    assert [row["learning_rate"] for row in done.history] == pytest.approx(wanted)
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 300


@pytest.mark.fit
def test_a_range_of_rates_is_walked_while_the_loss_is_below_0(tmp_path: Path) -> None:
    recipe = toy_recipe("toy-density", optimiser={"name": "adam", "learning_rate": 0.01})
    curve = find_rate(recipe, lowest=1e-3, highest=0.3, steps=60)
    assert len(curve.losses) == 60
    assert min(curve.losses) < 0
    assert 1e-3 < curve.suggestion < 0.3
    draw(curve, "a density", tmp_path / "rate.png")
    assert (tmp_path / "rate.png").stat().st_size > 0


@pytest.mark.parametrize("shift", [0.0, -3.0, -100.0])
def test_losses_diverge_by_their_fall_wherever_0_is(shift: float) -> None:
    fall = [2 - 0.02 * step + shift for step in range(100)]  # from 2 to 0
    assert not any(diverged(fall[:count], ratios=False) for count in range(1, 101))
    rise = [fall[-1] + 0.5 * step for step in range(1, 60)]
    ends = [diverged(fall + rise[:count], ratios=False) for count in range(1, 60)]
    assert not ends[7]  # up by as much as it had fallen
    assert ends[-1]


def test_the_noise_of_losses_that_have_not_fallen_is_no_divergence() -> None:
    noise = [-5 + 0.1 * (-1) ** step for step in range(200)]
    assert not any(diverged(noise[:count], ratios=False) for count in range(1, 201))
    assert diverged([*noise, *[-4.0] * 40], ratios=False)
    assert not diverged(noise[: LEAST - 1], ratios=False)


def test_losses_above_0_diverge_at_four_times_the_lowest() -> None:
    assert not diverged([1.0] * 20 + [3.9] * 100, ratios=True)
    assert diverged([1.0] * 20 + [4.5] * 100, ratios=True)
