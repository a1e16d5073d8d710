import pytest

from deploy.bench.load import Load, NoAnswer
from deploy.bench.tasks import MOST_TIMES, patiently


class Slow:
    """A server that answers its first request after so many seconds."""

    def __init__(self, first_s: int) -> None:
        self.first_s = first_s
        self.measured: list[int] = []

    def __call__(self, seconds: int) -> Load:
        self.measured.append(seconds)
        if seconds < self.first_s:
            raise NoAnswer
        return Load(1, 1 / seconds, 1, 1)


def test_a_server_that_answers_in_time_is_measured_once() -> None:
    server = Slow(1)
    assert patiently(server, 3).requests == 1
    assert server.measured == [3]


def test_a_server_that_answers_nothing_at_first_is_measured_for_longer() -> None:
    server = Slow(5)
    assert patiently(server, 2).per_s == 1 / 6
    assert server.measured == [2, 4, 6]


def test_a_server_that_never_answers_is_an_error() -> None:
    server = Slow(1000)
    with pytest.raises(NoAnswer):
        patiently(server, 1)
    assert server.measured == list(range(1, MOST_TIMES + 1))
