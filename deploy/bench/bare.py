"""Bare ONNX Runtime: the rows a second it runs with nothing around it."""

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
    """All cores on one run, or a run on each core; in batches of every size."""
    shapes = dict.fromkeys([(1, cores), (cores, 1)])
    return [Way(runners, threads, batch) for runners, threads in shapes for batch in BATCHES]


def best_way(subject: Subject, seconds: float) -> Way:
    """The way that runs most rows, each tried for so long in all, a bit at a time: a machine has slow moments."""
    best: dict[Way, float] = {}
    for _ in range(PASSES):
        for way in ways(usable_cores()):
            best[way] = max(best.get(way, 0), rows_per_s(subject, way, seconds / PASSES))
    return max(best, key=best.__getitem__)


def rows_per_s(subject: Subject, way: Way, seconds: float) -> float:
    """Rows a second of all runners together, after a run each that does not count."""
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
