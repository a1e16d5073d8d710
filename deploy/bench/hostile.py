"""16 callers who send what they should beside 4 who do not: not one of the 16 may notice."""

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
from deploy.bench.subject import Subject
from deploy.bench.table import Row, at_most

GOOD, HOSTILE = 16, 4
ANSWERED = "answered"

Tally = Counter[str]


def rows(plan: Plan) -> Iterator[Row]:
    """Good requests that failed, and hostile ones that were not refused."""
    subject = Subject(ZOO, "lenet5")
    with Server(ZOO) as server, ExitStack() as stack, ThreadPoolExecutor(GOOD + HOSTILE) as threads:
        checks, ways = list(good_ones(server, subject, stack)), list(hostile_ones(server, subject, stack))
        until = time.perf_counter() + plan.hostile_s
        good = [threads.submit(ask, check, until) for check in checks]
        bad = [threads.submit(attack, each, until) for each in ways]
        yield report("good requests that failed", good, (ANSWERED,))
        yield report("hostile requests not refused", bad, (REFUSED, LEFT))


def good_ones(server: Server, subject: Subject, stack: ExitStack) -> Iterator[Callable[[], None]]:
    """Of the good callers, half of them over each surface, each with an answer of its own to expect."""
    for index in range(GOOD // 2):
        own = Subject(subject.repository, subject.name, index)
        yield partial(check_rest, own, stack.enter_context(callers.rest(server.ports["rest"], own)))
        yield partial(check_grpc, own, stack.enter_context(callers.grpc_raw(server.ports["grpc"], own)))


def check_rest(subject: Subject, call: Callable[[], bytes]) -> None:
    """One request over REST."""
    subject.check_rest(call())


def check_grpc(subject: Subject, call: Callable[[], Any]) -> None:
    """One request over gRPC."""
    subject.check_grpc(call())


def hostile_ones(server: Server, subject: Subject, stack: ExitStack) -> Iterator[dict[str, Attack]]:
    """What each of the hostile callers does, half of them over each surface."""
    for _ in range(HOSTILE // 2):
        yield attacks.rest(server.ports["rest"], subject)
        yield attacks.over_grpc(stack.enter_context(callers.channel(server.ports["grpc"])), subject)


def report(what: str, tallies: list[Future[Tally]], fine: tuple[str, ...]) -> Row:
    """How many ended otherwise than is fine; all ends are named beside it."""
    total = sum((tally.result() for tally in tallies), Tally())
    otherwise = total.total() - sum(total[end] for end in fine)
    name = f"{GOOD} good and {HOSTILE} hostile callers, {what}"
    return Row(name, otherwise, "requests", at_most(0), dict(total))


def ask(check: Callable[[], None], until: float) -> Tally:
    """Ask again and again; a wrong answer is a failure like any other."""
    tally = Tally()
    while time.perf_counter() < until:
        try:
            check()
            tally[ANSWERED] += 1
        except Exception as error:  # whatever it is, it is what is counted here
            tally[f"{type(error).__name__}: {error}"[:120]] += 1
    return tally


def attack(ways: dict[str, Attack], until: float) -> Tally:
    """Try one way after the other."""
    tally = Tally()
    for name, way in cycle(ways.items()):
        if time.perf_counter() > until:
            break
        try:
            end = way()
        except Exception as error:  # whatever it is, it is what is counted here
            end = type(error).__name__
        tally[end if end in (REFUSED, LEFT) else f"{name}: {end}"] += 1
    return tally
