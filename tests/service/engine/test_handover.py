"""The limit below which a run is not worth a lane: two starts find the same, whatever else the machine does."""

import random
from collections.abc import Callable

import pytest

from service.engine.handover import INLINE_HANDOVERS, inline_limit_s, rounded_handover_s, takes_less

LIMIT_S = 256e-6
STARTS = 200


def disturbed(seed: int, undisturbed_s: float, share: float) -> Callable[[], float]:
    """A clock of runs: each takes up to 3 % more than undisturbed, and this ``share`` of them up to 10 ms more."""
    chance = random.Random(seed)

    def run_s() -> float:
        other_work_s = chance.uniform(0, 0.01) if chance.random() < share else 0
        return undisturbed_s * chance.uniform(1, 1.03) + other_work_s

    return run_s


@pytest.mark.parametrize("undisturbed_s", [24e-6, 31e-6, 43e-6])
def test_a_hand_over_is_rounded_so_that_every_start_finds_the_same(undisturbed_s: float) -> None:
    found = set()
    for seed in range(STARTS):
        exchange_s = disturbed(seed, undisturbed_s, share=0.8)
        found.add(rounded_handover_s(exchange_s() for _ in range(400)))
    assert found == {32e-6}


def test_a_few_exchanges_that_are_too_quick_do_not_count() -> None:
    assert rounded_handover_s([5e-6] * 19 + [33e-6] * 381) == 32e-6


def test_an_exchange_that_the_clock_does_not_see_is_a_microsecond() -> None:
    assert rounded_handover_s([0.0] * 10) == 1e-6


@pytest.mark.parametrize(("undisturbed_s", "less"), [(0.8 * LIMIT_S, True), (1.01 * LIMIT_S, False)])
def test_every_start_decides_alike_while_a_tenth_of_the_runs_are_disturbed(undisturbed_s: float, less: bool) -> None:
    decided = {takes_less(disturbed(seed, undisturbed_s, share=0.1), LIMIT_S) for seed in range(STARTS)}
    assert decided == {less}


def test_some_slow_runs_say_nothing_and_four_that_are_far_too_slow_are_enough() -> None:
    runs = iter([0.5, 0.5, 0.5, 0.9 * LIMIT_S])
    assert takes_less(lambda: next(runs), LIMIT_S)
    far = [5 * LIMIT_S] * 20
    assert not takes_less(far.pop, LIMIT_S)
    assert len(far) == 16
    near = [1.5 * LIMIT_S] * 20
    assert not takes_less(near.pop, LIMIT_S)
    assert not near


def test_the_limit_is_measured_once_in_a_process() -> None:
    limit_s = inline_limit_s()
    assert limit_s == inline_limit_s() > INLINE_HANDOVERS * 1e-6
