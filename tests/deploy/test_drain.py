import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from tests.deploy.callers import SEVEN, Callers, enlarged, outcome_of
from tests.deploy.conftest import READY_S, callers_of
from tests.deploy.containers import Container, running

pytestmark = pytest.mark.deploy

# Requests of some hundred milliseconds each, so that several are surely inside when the signal comes.
REQUESTS = 6
SIDE = 6000
GRACE_S = 30


@pytest.fixture
def own() -> Iterator[tuple[Container, Callers]]:
    with running() as container:
        callers = callers_of(container)
        callers.await_ready(READY_S)
        yield container, callers
        callers.close()


def test_sigterm_lets_requests_in_flight_finish_and_exits_0(own: tuple[Container, Callers]) -> None:
    container, callers = own
    image = enlarged(SEVEN, SIDE)
    callers.classify_grpc()  # connect before the requests that count
    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        calls: list[Callable[[], object]] = [
            partial(callers.classify_http, image),
            partial(callers.classify_grpc, image),
        ] * (REQUESTS // 2)
        answers = [pool.submit(outcome_of, call) for call in calls]
        await_in_flight(callers, REQUESTS, answers)
        stop = pool.submit(container.stop, GRACE_S)
        was_ready = ready_until_stopped(callers, stop)
    assert [answer.result() for answer in answers] == ["OK"] * REQUESTS
    assert stop.result() == 0
    assert was_ready < 1, f"still ready {was_ready:.2f} s after the signal"


def test_sigterm_while_idle_exits_0_at_once(own: tuple[Container, Callers]) -> None:
    container, _ = own
    start = time.monotonic()
    assert container.stop(GRACE_S) == 0
    assert time.monotonic() - start < 5


def await_in_flight(callers: Callers, wanted: int, answers: list[Future[str]]) -> None:
    """Return as soon as so many requests are inside."""
    while sum(callers.samples("lectorium_in_flight_requests").values()) < wanted:
        assert not any(answer.done() for answer in answers), "answered before all were inside"
        time.sleep(0.005)


def ready_until_stopped(callers: Callers, stop: Future[int]) -> float:
    """Ask for readiness until the container is gone; seconds after which it was last given."""
    start = last = time.monotonic()
    while not stop.done():
        if callers.ready():
            last = time.monotonic()
        time.sleep(0.02)
    return last - start
