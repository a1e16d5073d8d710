"""16 callers with valid requests beside 4 with invalid ones: none of the 16 may be affected."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from typing import Any

from deploy.bench import attacks, callers
from deploy.bench.attacks import LEFT, REFUSED, Attack
from deploy.bench.lenet import ZOO
from deploy.bench.plan import Plan
from deploy.bench.server import Server
from deploy.bench.subject import PROBABILITIES, Subject
from deploy.bench.table import Row, at_most

GOOD, HOSTILE = 16, 4
ANSWERED = "answered"

Tally = Counter[str]


def rows(plan: Plan) -> Iterator[Row]:
    """Good requests that failed, and hostile ones that were not refused."""
    subject = Subject(ZOO, "lenet5", wanted=[PROBABILITIES])
    with Server(ZOO) as server, ExitStack() as stack, ThreadPoolExecutor(GOOD + HOSTILE) as threads:
        checks, ways = list(good_ones(server, subject, stack)), list(hostile_ones(server, subject, stack))
        until = time.perf_counter() + plan.hostile_s
        good = [threads.submit(ask, check, until) for check in checks]
        bad = [threads.submit(attack, each, until) for each in ways]
        yield report("good requests that failed", good, (ANSWERED,))
        yield report("hostile requests not refused", bad, (REFUSED, LEFT))


def good_ones(server: Server, subject: Subject, stack: ExitStack) -> Iterator[Callable[[], None]]:
    """The good callers, half of them on each surface; each expects an answer of its own."""
    for index in range(GOOD // 2):
        own = Subject(subject.repository, subject.name, index, [PROBABILITIES])
        yield partial(check_rest, own, stack.enter_context(callers.rest(server.ports["rest"], own)))
        yield partial(check_grpc, own, stack.enter_context(callers.grpc_raw(server.ports["grpc"], own)))


def check_rest(subject: Subject, call: Callable[[], bytes]) -> None:
    """One request over REST."""
    subject.check_rest(call())


def check_grpc(subject: Subject, call: Callable[[], Any]) -> None:
    """One request over gRPC."""
    subject.check_grpc(call())


def hostile_ones(server: Server, subject: Subject, stack: ExitStack) -> Iterator[dict[str, Attack]]:
    """The attacks of each hostile caller; half of the callers are on each surface."""
    for _ in range(HOSTILE // 2):
        yield attacks.rest(server.ports["rest"], subject)
        yield attacks.over_grpc(stack.enter_context(callers.channel(server.ports["grpc"])), subject)


def report(what: str, tallies: list[Future[Tally]], fine: tuple[str, ...]) -> Row:
    """The number of requests whose outcome is not in ``fine``; the counts of all outcomes are given beside it."""
    total = sum((tally.result() for tally in tallies), Tally())
    otherwise = total.total() - sum(total[end] for end in fine)
    name = f"{GOOD} good and {HOSTILE} hostile callers, {what}"
    return Row(name, otherwise, "requests", at_most(0), dict(total))


def ask(check: Callable[[], None], until: float) -> Tally:
    """Repeat the request until ``until``; a wrong answer counts as a failure like any other."""
    tally = Tally()
    while time.perf_counter() < until:
        try:
            check()
            tally[ANSWERED] += 1
        except Exception as error:  # every exception is counted
            tally[f"{type(error).__name__}: {error}"[:120]] += 1
    return tally


def attack(ways: dict[str, Attack], until: float) -> Tally:
    """Try one attack after the other."""
    tally = Tally()
    for name, way in cycle(ways.items()):
        if time.perf_counter() > until:
            break
        try:
            end = way()
        except Exception as error:  # every exception is counted
            end = type(error).__name__
        tally[end if end in (REFUSED, LEFT) else f"{name}: {end}"] += 1
    return tally
