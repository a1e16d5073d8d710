import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.tiny import Tiny, tiny_recipe
from training.errors import RecipeError
from training.fit import fit
from training.search.rate_finder import DIVERGED, LEAST, SMOOTHING, RateCurve, draw, find_rate


@pytest.mark.fit
def test_rates_rise_in_equal_factors_and_the_loss_falls_before_it_explodes(tiny: Tiny) -> None:
    curve = find_rate(tiny_recipe("optimiser.name=sgd"), tiny.folder, lowest=1e-4, highest=100, steps=40)
    factors = np.array(curve.rates[1:]) / curve.rates[:-1]
    assert curve.rates[0] == pytest.approx(1e-4)
    assert factors == pytest.approx(np.full(len(factors), 1e6 ** (1 / 39)))
    assert len(curve.losses) == len(curve.rates) < 40
    *before, last = curve.smoothed
    assert min(before) < 0.8 * curve.losses[0]
    assert last > DIVERGED * min(before)
    judged = np.array(before[LEAST - 1 :])
    assert (judged <= DIVERGED * np.minimum.accumulate(judged)).all()


@pytest.mark.fit
def test_a_range_that_never_explodes_is_walked_to_its_end(tiny: Tiny) -> None:
    curve = find_rate(tiny_recipe(), tiny.folder, lowest=1e-6, highest=1e-3, steps=25)
    assert len(curve.rates) == 25
    assert curve.rates[-1] == pytest.approx(1e-3)


@pytest.mark.fit
def test_a_network_does_learn_at_the_rate_that_is_suggested(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe("optimiser.name=sgd")
    rate = find_rate(recipe, tiny.folder, lowest=1e-5, highest=10, steps=60).suggestion
    assert 1e-4 < rate < 0.5
    done = fit(tiny_recipe("optimiser.name=sgd", f"optimiser.learning_rate={rate}", "epochs=10"), tmp_path, tiny.folder)
    assert done.history[-1]["train_loss"] < done.history[0]["train_loss"] / 2


@pytest.mark.fit
def test_the_test_is_a_function_of_the_recipe_and_leaves_the_generators(tiny: Tiny) -> None:
    recipe = tiny_recipe("augmentation.shift=1")
    before = torch.random.get_rng_state()
    one, two = (find_rate(recipe, tiny.folder, steps=15) for _ in range(2))
    assert one == two
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.fit
def test_the_recipes_own_rate_and_schedule_have_no_say(tiny: Tiny) -> None:
    one = find_rate(tiny_recipe("optimiser.learning_rate=0.5", "schedule.name=constant"), tiny.folder, steps=15)
    two = find_rate(tiny_recipe("schedule.name=exponential", "schedule.warmup=1"), tiny.folder, steps=15)
    assert one == two


@pytest.mark.fit
def test_slow_layers_keep_their_share_of_the_rate(tiny: Tiny, finished_run: Path) -> None:
    # A trained network whose every layer is slow: all but standing still, its loss is that of each batch as it comes.
    transfer = (f"transfer.weights={finished_run}", "transfer.mode=slow", "transfer.fresh=[]")
    still, moving = (
        find_rate(tiny_recipe(*transfer, f"transfer.factor={factor}"), tiny.folder, highest=10, steps=60)
        for factor in (1e-9, 1)
    )
    assert len(still.losses) == 60
    assert max(still.losses) < 1
    assert max(moving.losses) > 2


def valley(lowest: float) -> RateCurve:
    """A loss that falls about ``lowest`` and explodes a hundredfold later."""
    rates = np.geomspace(1e-6, 1, 60)
    losses = 2 / (1 + (rates / lowest) ** 2) + 0.3 + (rates / (100 * lowest)) ** 2
    return RateCurve(tuple(rates.tolist()), tuple(losses.tolist()))


@pytest.mark.parametrize("lowest", [1e-4, 1e-3])
def test_the_suggestion_is_where_the_mean_falls_fastest(lowest: float) -> None:
    # The running mean follows the loss some steps later.
    assert lowest < valley(lowest).suggestion < 10 * lowest


def test_the_running_mean_weighs_the_last_losses_and_starts_at_the_first() -> None:
    curve = RateCurve((0.1, 0.2, 0.4), (3.0, 1.0, 2.0))
    weights = np.array([SMOOTHING**2, SMOOTHING, 1])
    assert curve.smoothed[0] == pytest.approx(3)
    assert curve.smoothed[2] == pytest.approx((weights * [3, 1, 2]).sum() / weights.sum())


@pytest.mark.parametrize(
    ("lowest", "highest", "steps"),
    [(1e-3, 1e-4, 50), (0, 1, 50), (1e-6, 1, 12), (1e-6, math.inf, 50), (math.nan, 1, 50), (1e-6, 1, 10**12)],
)
def test_a_range_that_does_not_rise_is_refused(lowest: float, highest: float, steps: int) -> None:
    with pytest.raises(RecipeError, match="it must rise from above 0"):
        find_rate(tiny_recipe(), lowest=lowest, highest=highest, steps=steps)


@pytest.mark.fit
def test_a_range_that_begins_too_high_is_refused(tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match=r"the loss only rises from the rate 1e\+06 on; begin with a lower rate"):
        find_rate(tiny_recipe("optimiser.name=sgd"), tiny.folder, lowest=1e6, highest=1e12, steps=40)


def test_an_optimiser_that_finds_its_own_step_is_refused() -> None:
    recipe = tiny_recipe("optimiser.name=lbfgs", "optimiser.weight_decay=0", "batch_size=full")
    with pytest.raises(RecipeError, match="lbfgs finds the length of its step itself"):
        find_rate(recipe)


def test_the_picture_is_a_small_png(tmp_path: Path) -> None:
    draw(valley(1e-3), "a valley", tmp_path / "rate.png")
    with Image.open(tmp_path / "rate.png") as picture:
        assert picture.size == (540, 288)
    assert (tmp_path / "rate.png").stat().st_size < 40_000
    assert math.isfinite(valley(1e-3).suggestion)
