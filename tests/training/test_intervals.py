import numpy as np
import pytest

from training.intervals import bootstrap, wilson


def test_a_proportions_interval_is_that_of_wilson() -> None:
    """Newcombe 1998, table I: 81 of 263, and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(20, 20)[1] == 1.0


def test_a_bootstrap_holds_nearly_the_normal_interval_of_a_mean_and_is_the_same_again() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = bootstrap(values)
    error = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.05)
    assert bootstrap(values) == (low, high) != bootstrap(values, seed=1)


def test_a_bootstrap_takes_any_statistic() -> None:
    pairs = np.stack([np.arange(1.0, 101.0), np.full(100, 2.0)], axis=1)
    low, high = bootstrap(pairs, statistic=lambda sample: float(sample[:, 0].sum() / sample[:, 1].sum()))
    assert low < 25.25 < high
