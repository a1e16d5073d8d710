"""The time that serving adds to a bare ``session.run`` for one caller, and what a server costs until it is ready.

The surfaces take turns in small blocks, so that a slow moment of the machine affects them alike. For ``/v1/classify``
the decode time, which the answer states, is subtracted: it depends on the caller's format and is not overhead.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson

from deploy.bench import callers
from deploy.bench.plan import Plan
from deploy.bench.server import Server
from deploy.bench.subject import PROBABILITIES, Subject
from deploy.bench.table import Row, at_most, median_row
from service.engine.cores import usable_cores

ZOO = Path("models/zoo")
BARE = "bare session.run"
TARGETS = {"REST binary": at_most(0.3), "gRPC raw": at_most(0.6), "/v1/classify, less decode": at_most(2)}
BLOCK, WARM = 50, 200

Call = Callable[[], float]


def rows(plan: Plan) -> Iterator[Row]:
    """Each surface's p50 over the bare session's, in milliseconds; then what a server costs until it is ready."""
    subject = Subject(ZOO, "lenet5", wanted=[PROBABILITIES])
    times: dict[str, list[float]] = {}
    starts: list[float] = []
    for _ in range(plan.rounds):
        with Server(ZOO, default_models=f"classify={subject.name}") as server, ExitStack() as stack:
            starts.append(server.ready_s)
            measure(calls(subject, server, stack), plan.calls, times)
    bare = statistics.median(times.pop(BARE)) * 1e3
    yield Row(f"LeNet-5, one caller, {BARE}", bare, "ms")
    for what, seconds in times.items():
        yield over(what, [second * 1e3 for second in seconds], bare)
    yield median_row("from process start to ready", starts, "s", at_most(3))
    yield from costs()


def costs() -> Iterator[Row]:
    """The memory of a server that is ready with the whole zoo, with one and two workers."""
    for workers, what in ((1, "one worker"), (2, "two workers")):
        with Server(ZOO, workers=workers) as server:
            memory, processor_s = server.footprint() / (1 << 20), server.processor_s()
        yield Row(f"memory of the zoo, {what}", memory, "MiB", at_most(300), {"processor s until ready": processor_s})


def over(what: str, times: list[float], bare: float) -> Row:
    """The median of ``times`` over ``bare``, all in milliseconds."""
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    beside = {"p50 ms": p50, "p99 ms": p99}
    return Row(f"LeNet-5, one caller, {what}, over the bare run", p50 - bare, "ms", TARGETS[what], beside)


def measure(each: dict[str, Call], count: int, times: dict[str, list[float]]) -> None:
    """Add the seconds of ``count`` calls of each to its list, block by block."""
    for call in each.values():
        for _ in range(min(WARM, count)):
            call()
    for _ in range(count // BLOCK):
        for what, call in each.items():
            times.setdefault(what, []).extend(call() for _ in range(BLOCK))


def calls(subject: Subject, server: Server, stack: ExitStack) -> dict[str, Call]:
    """One call for each surface, of the same row; each returns the seconds it took. ``stack`` closes them."""
    session = subject.session(usable_cores(), spin=False)
    rest = stack.enter_context(callers.rest(server.ports["rest"], subject))
    infer = stack.enter_context(callers.grpc_raw(server.ports["grpc"], subject))
    classify = stack.enter_context(callers.classify(server.ports["http"], subject.row[0]))
    names, inputs = list(subject.outputs), {subject.input: subject.row}
    return {
        BARE: timed(lambda: session.run(names, inputs)),
        "REST binary": timed(rest),
        "gRPC raw": timed(infer),
        "/v1/classify, less decode": without_decode(classify),
    }


def timed(call: Callable[[], object]) -> Call:
    """``call``, returning the seconds it took."""

    def measured() -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return measured


def without_decode(call: Callable[[], bytes]) -> Call:
    """The seconds of a `/v1/classify` call, less the decode time in its answer."""

    def measured() -> float:
        began = time.perf_counter()
        answer = call()
        took = time.perf_counter() - began
        return took - float(orjson.loads(answer)["timing"]["decode_ms"]) / 1e3

    return measured
