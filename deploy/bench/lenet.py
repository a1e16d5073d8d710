"""LeNet-5: the throughput of the surfaces, since the model itself costs almost nothing."""

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from deploy.bench import load
from deploy.bench.load import Load
from deploy.bench.plan import Plan
from deploy.bench.server import Bare, Server
from deploy.bench.subject import PROBABILITIES, Subject
from deploy.bench.table import Row, Target, at_least, median_row
from deploy.bench.throughput import GRPC, REST, Surface, rest_post, throughput

ZOO = Path("models/zoo")
CONNECTIONS = (1, 8, 64)
MANY = 64
ECHO, EMPTY, TWO = "bare echo ASGI", "empty grpc.aio RPC", ", two workers"
TARGETS = {(REST.title, MANY): at_least(10_000, aim=14_000)}

Key = tuple[str, int]


def rows(plan: Plan) -> Iterator[Row]:
    """Every surface at 1, 8 and 64 connections, beside a server that does the least its library can do."""
    subject = Subject(ZOO, "lenet5", wanted=[PROBABILITIES])
    loads: dict[Key, list[Load]] = {}
    for _ in range(plan.rounds):
        with Server(ZOO) as server, Server(ZOO, workers=2) as two, Bare("echo") as echo, Bare("empty_rpc") as empty:
            for key, measure in measures(subject, server, two, echo, empty).items():
                if plan.warm_s:
                    measure(plan.warm_s)
                loads.setdefault(key, []).append(measure(plan.block_s))
    for key, seen in loads.items():
        yield row(key, seen, TARGETS.get(key))
    for surface in (REST, GRPC):
        yield gain(surface, loads[surface.title, MANY], loads[surface.title + TWO, MANY])
    yield share(REST, loads[REST.title, MANY], ECHO, loads[ECHO, MANY])
    yield share(GRPC, loads[GRPC.title, MANY], EMPTY, loads[EMPTY, MANY], at_least(65, aim=85))


def measures(
    subject: Subject, server: Server, two: Server, echo: Bare, empty: Bare
) -> dict[Key, Callable[[int], Load]]:
    """How each is measured for a number of seconds, by name and connections; compared ones follow each other."""
    found: dict[Key, Callable[[int], Load]] = {}
    for connections in CONNECTIONS:
        found[REST.title, connections] = partial(throughput, server, subject, REST, connections)
    found[ECHO, MANY] = partial(load.wrk, rest_post(echo.port, subject), MANY)
    found[REST.title + TWO, MANY] = partial(throughput, two, subject, REST, MANY)
    found[EMPTY, MANY] = partial(load.h2load, load.grpc(empty.port, "/bench.Empty/Call", b""), MANY)
    for connections in reversed(CONNECTIONS):
        found[GRPC.title, connections] = partial(throughput, server, subject, GRPC, connections)
        if connections == MANY:
            found[GRPC.title + TWO, MANY] = partial(throughput, two, subject, GRPC, MANY)
    return found


def row(key: Key, loads: list[Load], target: Target | None) -> Row:
    """The requests per second, with the latencies beside them."""
    what, connections = key
    p50, p99 = (statistics.median(quantile) for quantile in zip(*(seen[2:] for seen in loads), strict=True))
    name = f"LeNet-5, {what}, {connections} connection{'s' * (connections > 1)}"
    return median_row(name, [seen.per_s for seen in loads], "req/s", target, **{"p50 ms": p50, "p99 ms": p99})


def gain(surface: Surface, ones: list[Load], twos: list[Load]) -> Row:
    """The throughput of two workers over that of one, round by round."""
    gains = [two.per_s / one.per_s for one, two in zip(ones, twos, strict=True)]
    return median_row(f"LeNet-5, {surface.title}, {MANY} connections, two workers over one", gains, "x", at_least(1.4))


def share(surface: Surface, loads: list[Load], of: str, others: list[Load], target: Target | None = None) -> Row:
    """The surface's throughput in percent of the other's, round by round."""
    percents = [100 * seen.per_s / other.per_s for seen, other in zip(loads, others, strict=True)]
    return median_row(f"LeNet-5, {surface.title}, {MANY} connections, of the {of}", percents, "%", target)
