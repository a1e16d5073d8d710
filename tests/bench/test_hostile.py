from collections.abc import Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.bench import attacks, callers
from deploy.bench.attacks import LEFT, REFUSED, Attack
from deploy.bench.hostile import ANSWERED, Tally, ask, attack, report
from deploy.bench.server import Server
from deploy.bench.subject import Subject

ZOO = Path("models/zoo")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(ZOO) as server:
        yield server


def test_every_attack_is_refused_or_leaves_and_the_server_goes_on(server: Server) -> None:
    subject = Subject(ZOO, "lenet5")
    ways = {f"REST {name}": way for name, way in attacks.rest(server.ports["rest"], subject).items()}
    with callers.channel(server.ports["grpc"]) as channel:
        ways |= {f"gRPC {name}": way for name, way in attacks.over_grpc(channel, subject).items()}
        ends = {name: way() for name, way in ways.items()}
    leavers = {"REST truncated", "REST left early", "gRPC left early"}
    assert ends == {name: LEFT if name in leavers else REFUSED for name in ways}
    assert server.answers()


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second whenever it is read, so that a busy machine changes nothing."""
    seconds = count()
    monkeypatch.setattr("deploy.bench.hostile.time", SimpleNamespace(perf_counter=lambda: next(seconds)))


def vanish() -> str:
    raise ConnectionResetError


@pytest.mark.usefixtures("ticking")
def test_an_attack_that_is_let_in_is_told() -> None:
    ways: dict[str, Attack] = {"shape": lambda: "status 500", "name": lambda: REFUSED, "gone": vanish}
    assert attack(ways, 4) == {"shape: status 500": 2, REFUSED: 2, "gone: ConnectionResetError": 1}


@pytest.mark.usefixtures("ticking")
def test_a_good_request_that_fails_is_told() -> None:
    left = [None, ValueError("wrong"), None]

    def check() -> None:
        if left and (error := left.pop(0)):
            raise error

    assert ask(check, 4) == {ANSWERED: 3, "ValueError: wrong": 1}


def test_whatever_is_not_fine_counts_against_the_target() -> None:
    tallies: list[Future[Tally]] = []
    for tally in (Tally({ANSWERED: 10}), Tally({ANSWERED: 5, "ValueError: wrong": 2})):
        tallies.append(Future())
        tallies[-1].set_result(tally)
    row = report("good requests that failed", tallies, (ANSWERED,))
    assert (row.value, row.met) == (2, False)
    assert row.beside == {ANSWERED: 15, "ValueError: wrong": 2}
    assert report("good requests that failed", tallies[:1], (ANSWERED,)).met
