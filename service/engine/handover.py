"""How long it takes to hand work to another thread, measured on this machine, and which runs take less than that."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from queue import SimpleQueue

# A run that takes less than this many hand-overs runs on the event loop. A lane costs more than its hand-over: while it
# runs and when it ends, it competes with the loop for Python's lock. With 2 cores, LeNet-5's gRPC calls, 8 at a time,
# took 11 % less CPU time where the loop ran up to 8 rows (7 hand-overs) than where it ran up to 4.
INLINE_HANDOVERS = 8
# How many exchanges between two threads are timed; fewer if all of them together take longer than this.
_EXCHANGES = 400
_LONGEST_S = 1.0
# The share of exchanges that are quicker than the one that counts. Most are disturbed if the machine has other work.
_QUICKER = 0.05
# How often a run is repeated before it is called slow, and after how many runs it is if all took so much too long.
_RUNS = 20
_FEW_RUNS = 4
_FAR = 4


@cache
def inline_limit_s() -> float:
    """The seconds below which a run is not worth a lane; measured once in a process, in about 20 ms."""
    return INLINE_HANDOVERS * rounded_handover_s(_exchanges())


def rounded_handover_s(exchanges_s: Iterable[float]) -> float:
    """The time of an undisturbed exchange, in seconds, to the nearest power of two of a microsecond.

    It is rounded so that every process on a machine finds the same.
    """
    exchanges = sorted(exchanges_s)
    undisturbed_us = exchanges[int(len(exchanges) * _QUICKER)] * 1e6
    return math.pow(2, round(math.log2(max(undisturbed_us, 1)))) / 1e6


def takes_less(run_s: Callable[[], float], limit_s: float) -> bool:
    """Whether a run takes less than ``limit_s`` if nothing disturbs it.

    Args:
        run_s: runs once, and returns the seconds that took. It is called until one run takes less than the limit, up
            to 20 times: other work of the machine makes runs slower, never quicker.
        limit_s: the limit in seconds.
    """
    least_s = math.inf
    for count in range(1, _RUNS + 1):
        least_s = min(least_s, run_s())
        if least_s < limit_s:
            return True
        if count >= _FEW_RUNS and least_s > _FAR * limit_s:
            return False
    return False


def _exchanges() -> list[float]:
    """The seconds from one thread to another and back, many times; the threads are on two cores if there are two."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    there: SimpleQueue[bool] = SimpleQueue()
    back: SimpleQueue[bool] = SimpleQueue()
    taken: list[float] = []

    def ask() -> None:
        _stay_on(cores[:1])
        ends = time.perf_counter() + _LONGEST_S
        began = time.perf_counter()
        while len(taken) < _EXCHANGES and began < ends:
            there.put(True)
            back.get()
            taken.append(time.perf_counter() - began)
            began = time.perf_counter()
        there.put(False)

    def answer() -> None:
        _stay_on(cores[-1:])
        while there.get():
            back.put(True)

    threads = [threading.Thread(target=work, daemon=True) for work in (answer, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def _stay_on(cores: list[int]) -> None:
    """Keep this thread on the cores: while both threads are on one, a hand-over takes under half the time."""
    if cores:
        os.sched_setaffinity(threading.get_native_id(), cores)
