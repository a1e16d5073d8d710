"""How far a metric of a finite test split may be from that of all such examples: 95 % confidence intervals."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

NORMAL = 1.959964  # standard deviations that hold 95 % of a normal distribution
LEVELS = (2.5, 97.5)  # per cent
DRAWS = 1_000

Interval = tuple[float, float]
Floats = npt.NDArray[np.floating]


def wilson(right: int, count: int) -> Interval:
    """The interval of a proportion, ``right`` of ``count`` (Wilson 1927): within 0 to 1, and sound near both."""
    share, spread = right / count, NORMAL**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = NORMAL * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return _rounded(max(0.0, middle - half), min(1.0, middle + half))


def bootstrap(
    examples: Floats, seed: int = 0, statistic: Callable[[Floats], float] | None = None, draws: int = DRAWS
) -> Interval:
    """The interval of a ``statistic`` of ``examples`` (N, ...), by default their mean (Efron 1979).

    It holds the middle 95 % of the statistic's values over ``draws`` samples of N examples, drawn with replacement.
    """
    generator = np.random.default_rng(seed)
    count = len(examples)
    of = statistic or (lambda sample: float(sample.mean()))
    values = [of(examples[generator.integers(0, count, count)]) for _ in range(draws)]
    low, high = np.percentile(values, LEVELS)
    return _rounded(float(low), float(high))


def _rounded(low: float, high: float) -> Interval:
    return round(low, 6), round(high, 6)
