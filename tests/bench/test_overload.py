import pytest

from deploy.bench.overload import QUEUE_ROWS, Outcome, growth, report
from deploy.bench.table import Row

MIB = 1 << 20
PEAK = 100.0


def outcomes(accepted_ms: float = 900, refused_ms: float = 1, accepted_per_s: int = 100) -> list[Outcome]:
    """Ten seconds of 300 requests a second, of which some are accepted."""
    sent = [i / 300 for i in range(3_000)]
    every = 300 // accepted_per_s
    return [
        Outcome(at, 200, accepted_ms) if i % every == 0 else Outcome(at, 429, refused_ms) for i, at in enumerate(sent)
    ]


def row(what: str, seen: list[Outcome]) -> Row:
    (found,) = [row for row in report(seen, [100 * MIB] * 20, PEAK) if what in row.what]
    return found


def test_what_a_queue_implies_is_measured_against_what_was_carried() -> None:
    bound_ms = QUEUE_ROWS / 100 * 1e3
    found = row("accepted", outcomes(accepted_ms=900))
    assert found.value == pytest.approx(900 / bound_ms, rel=0.02)
    assert found.met


def test_accepted_requests_that_wait_too_long_are_a_miss() -> None:
    assert row("accepted", outcomes(accepted_ms=1_400)).met is False


def test_refusals_that_take_too_long_are_a_miss() -> None:
    assert row("refused", outcomes(refused_ms=4.9)).met is True
    assert row("refused", outcomes(refused_ms=5.1)).met is False


@pytest.mark.parametrize(("accepted_per_s", "percent", "met"), [(100, 100, True), (75, 75, False)])
def test_throughput_is_told_in_percent_of_the_peak(accepted_per_s: int, percent: int, met: bool) -> None:
    found = row("throughput", outcomes(accepted_per_s=accepted_per_s))
    assert found.value == pytest.approx(percent, rel=0.02)
    assert found.met is met


def test_an_error_among_the_answers_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="500"):
        row("accepted", [*outcomes(), Outcome(10, 500, 1)])


@pytest.mark.parametrize(("last", "met"), [(100, True), (104, True), (106, False)])
def test_memory_that_grows_is_a_miss(last: int, met: bool) -> None:
    found = growth([100 * MIB] * 10 + [102 * MIB] * 10 + [last * MIB] * 10)
    assert found.value == pytest.approx(last - 100)
    assert found.met is met
