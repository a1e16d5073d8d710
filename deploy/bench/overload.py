"""Three times the server's throughput, for a minute: accepted requests are served in time, others refused at once.

It is an open loop: requests of ResNet-18 arrive at a constant rate, each on a connection of its own, whatever the
outcome of those before.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from deploy.bench.graphs import FOLDER, NAME, resnet18
from deploy.bench.load import Post
from deploy.bench.plan import Plan
from deploy.bench.server import Server
from deploy.bench.subject import Subject
from deploy.bench.table import Row, at_least, at_most
from deploy.bench.throughput import SLOW_REST, throughput
from deploy.bench.witness import witness

QUEUE_ROWS = 64
CONNECTIONS = 32
TIMES = 3
TOGETHER = 2
SETTLED = 0.2


class Outcome(NamedTuple):
    """One request: when it was sent, in seconds, its status and how long its answer took, in milliseconds."""

    sent_s: float
    status: int
    took_ms: float


def rows(plan: Plan) -> Iterator[Row]:
    """The latency of accepted and refused requests, the throughput, and the growth of memory."""
    subject = Subject(resnet18(FOLDER), NAME)
    with Server(subject.repository, max_queue_rows=QUEUE_ROWS) as server:
        before = throughput(server, subject, SLOW_REST, CONNECTIONS, plan.slow_s).per_s
        post = SLOW_REST.post(server.ports["rest"], subject)
        with witness(server, subject.another, SLOW_REST.name):
            outcomes, memory = arrivals(server, post, TIMES * before, plan.overload_s)
        after = throughput(server, subject, SLOW_REST, CONNECTIONS, plan.slow_s).per_s
    yield from report(outcomes, memory, (before + after) / 2)


def arrivals(server: Server, post: Post, rate: float, seconds: int) -> tuple[list[Outcome], list[int]]:
    """The outcomes of ``rate`` requests a second, and the server's resident bytes meanwhile, twice a second.

    Raises:
        RuntimeError: a request got no answer.
    """
    count = round(rate * seconds)
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(post.body)
        command = ["h2load", "-t1", "-phttp/1.1", f"-n{count}", f"-c{count}", f"-d{body}", f"--log-file={log}"]
        command += [f"-r{TOGETHER}", f"--rate-period={round(1000 * TOGETHER / rate)}ms"]
        command += [f"-H{name}: {value}" for name, value in post.headers.items()]
        memory = []
        with subprocess.Popen([*command, post.url], stdout=subprocess.DEVNULL) as generator:
            while generator.poll() is None:
                memory.append(server.memory())
                time.sleep(0.5)
        outcomes = [_outcome(line) for line in log.read_text().splitlines()]
    if len(outcomes) < count:
        raise RuntimeError(f"{len(outcomes)} of {count} requests were answered")
    return sorted(outcomes), memory


def report(outcomes: list[Outcome], memory: list[int], peak: float) -> Iterator[Row]:
    """The rows; ``peak`` is in requests per second. The first fifth of the time is not counted: the queue is filling.

    Raises:
        RuntimeError: an answer was neither a result nor a refusal.
    """
    began, ended = outcomes[0].sent_s, outcomes[-1].sent_s
    settled = began + SETTLED * (ended - began)
    accepted = [one.took_ms for one in outcomes if one.status == 200 and one.sent_s >= settled]
    refused = [one.took_ms for one in outcomes if one.status == 429 and one.sent_s >= settled]
    if others := {one.status for one in outcomes} - {200, 429}:
        raise RuntimeError(f"there were answers of status {sorted(others)}; only 200 and 429 are allowed")
    carried = sum(one.status == 200 and settled <= one.sent_s + one.took_ms / 1e3 <= ended for one in outcomes)
    carried_per_s = carried / (ended - settled)
    bound_ms = QUEUE_ROWS / carried_per_s * 1e3
    p50, p99 = quantiles(accepted)
    beside = {"p50 ms": p50, "p99 ms": p99, "bound ms": bound_ms}
    yield Row("overload, p99 of the accepted over what the queue implies", p99 / bound_ms, "x", at_most(2), beside)
    p50, p99 = quantiles(refused)
    share = 100 * len(refused) / (len(refused) + len(accepted))
    yield Row("overload, p99 of the refused", p99, "ms", at_most(5), {"p50 ms": p50, "% refused": share})
    beside = {"images/s": carried_per_s, "peak": peak, "offered": len(outcomes) / (ended - began)}
    yield Row("overload, throughput of the peak", 100 * carried_per_s / peak, "%", at_least(90), beside)
    yield growth(memory[int(SETTLED * len(memory)) :])


def growth(memory: list[int]) -> Row:
    """By how much the memory in the last third of the time exceeds that in the first, in percent."""
    third = len(memory) // 3
    first, last = (statistics.median(part) / (1 << 20) for part in (memory[:third], memory[-third:]))
    beside = {"first MiB": first, "last MiB": last}
    return Row("overload, growth of resident memory", 100 * (last / first - 1), "%", at_most(5), beside)


def quantiles(times: list[float]) -> tuple[float, float]:
    """The p50 and p99 of ``times``."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]


def _outcome(line: str) -> Outcome:
    sent_us, status, took_us = map(int, line.split("\t"))
    return Outcome(sent_us / 1e6, status, took_us / 1e3)
