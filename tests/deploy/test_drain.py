import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from tests.deploy.callers import SEVEN, Callers, enlarged, outcome_of
from tests.deploy.conftest import READY_S, callers_of
from tests.deploy.containers import Container, running

pytestmark = pytest.mark.deploy

# Requests of some hundred milliseconds each, so that several are surely inside when the signal comes, and after.
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
        await_not_ready(callers)
        inside = [answer for answer in answers if not answer.done()]
    assert [answer.result() for answer in answers] == ["OK"] * REQUESTS
    assert stop.result() == 0
    assert inside, "readiness fell only when all had been answered"


def test_sigterm_while_idle_exits_0_before_the_grace_time_is_over(own: tuple[Container, Callers]) -> None:
    container, _ = own
    assert container.stop(GRACE_S // 2) == 0  # not killed by then


def await_in_flight(callers: Callers, wanted: int, answers: list[Future[str]]) -> None:
    """Return as soon as so many requests are inside."""
    while sum(callers.samples("lectorium_in_flight_requests").values()) < wanted:
        assert not any(answer.done() for answer in answers), "answered before all were inside"
        time.sleep(0.005)


def await_not_ready(callers: Callers) -> None:
    """Return as soon as the service says that it takes no more."""
    while callers.ready():
        time.sleep(0.005)
