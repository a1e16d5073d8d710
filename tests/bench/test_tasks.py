from pathlib import Path

import pytest

from deploy.bench.load import Load, NoAnswer
from deploy.bench.picture_file import GRPC, HTTP, PictureFile
from deploy.bench.tasks import BENTOML, CONNECTIONS, FAILED, LITSERVE, MOST_TIMES, PLAIN, attempt, compared, patiently


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


def test_a_rival_that_fails_does_not_end_the_bench_and_any_other_server_does() -> None:
    assert attempt(BENTOML, Slow(1000), 1) == FAILED
    with pytest.raises(NoAnswer):
        attempt(HTTP, Slow(1000), 1)


def test_what_a_rival_fails_at_is_a_row_of_its_own() -> None:
    picture = PictureFile("A picture", Path(), "model", b"", "image/jpeg", {})
    loads = {
        (name, connections): [Load(1, per_s, 1, 1)]
        for name, per_s in ((HTTP, 60.0), (GRPC, 40.0), (PLAIN, 20.0), (LITSERVE, 10.0), (BENTOML, 5.0))
        for connections in CONNECTIONS
    }
    loads[BENTOML, 64] = [FAILED]
    found = {row.what: f"{row.value:g} {row.unit}" for row in compared(picture, loads)}
    assert found[f"A picture, {HTTP}, 64 connections, over the plain app"] == "3 x"
    assert found[f"A picture, {HTTP}, 64 connections, over the LitServe"] == "6 x"
    assert found[f"A picture, {HTTP}, 8 connections, over the BentoML"] == "12 x"
    assert found["A picture, BentoML, 64 connections: it fails"] == "0 req/s"
    assert f"A picture, {HTTP}, 64 connections, over the BentoML" not in found
