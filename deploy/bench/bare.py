"""Bare ONNX Runtime: the rows per second that it runs without a server."""

import threading
import time
from typing import NamedTuple

from deploy.bench.subject import Subject
from service.engine.cores import usable_cores

BATCHES = (1, 2, 4, 8, 16, 32)
PASSES = 3


class Way(NamedTuple):
    """How to run: ``runners`` threads, each with a session of ``threads`` and batches of ``batch`` rows."""

    runners: int
    threads: int
    batch: int


def ways(cores: int) -> list[Way]:
    """One run on all cores, or one run on each core, with every batch size."""
    shapes = dict.fromkeys([(1, cores), (cores, 1)])
    return [Way(runners, threads, batch) for runners, threads in shapes for batch in BATCHES]


def best_way(subject: Subject, seconds: float) -> Way:
    """The fastest way; each is tried for ``seconds`` in all, in several parts, because a machine has slow moments."""
    best: dict[Way, float] = {}
    for _ in range(PASSES):
        for way in ways(usable_cores()):
            best[way] = max(best.get(way, 0), rows_per_s(subject, way, seconds / PASSES))
    return max(best, key=best.__getitem__)


def rows_per_s(subject: Subject, way: Way, seconds: float) -> float:
    """The rows per second of all runners together, after one uncounted run each."""
    batch = {subject.input: subject.row.repeat(way.batch, 0)}
    names = list(subject.outputs)
    sessions = [subject.session(way.threads) for _ in range(way.runners)]
    for session in sessions:
        session.run(names, batch)
    rates: list[float] = []

    def run(index: int) -> None:
        began, count = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < seconds or not count:
            sessions[index].run(names, batch)
            count += 1
        rates.append(count * way.batch / took)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(way.runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)
