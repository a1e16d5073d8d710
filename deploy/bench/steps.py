"""Step loops: the gain of sharing every step, its effect on other models, and how soon a new request begins.

Measured at the engine, without a surface: 16 callers ask for captions of random lengths, one after another.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path
from shutil import copytree

import numpy as np
import uvloop

from deploy.bench.decoder import MAX_STEPS, NAME, SLOTS, decoder
from deploy.bench.graphs import FOLDER
from deploy.bench.lenet import ZOO
from deploy.bench.plan import Plan
from deploy.bench.table import Row, at_least, at_most, median_row
from service.config import Config
from service.engine import Engine, Options
from service.engine.slots import Slots
from service.engine.step_request import StepRequest
from service.package import Loop

CALLERS = 16
REPOSITORY = FOLDER.with_name("steps")
PIXELS = np.zeros((1, 28, 28), "u1")


def rows(plan: Plan) -> Iterator[Row]:
    """The throughput against two other ways to serve a loop; then the latency of new requests and of another model."""
    repository()
    figures: dict[str, list[float]] = {"alone": [], "wait": [], "shared": [], "newcomer": [], "beside": [], "step": []}
    for _ in range(plan.rounds):
        for name, values in uvloop.run(_round(plan.block_s)).items():
            figures[name].append(values)
    shared = figures["shared"]
    yield median_row(f"steps, {CALLERS} callers sharing every step", shared, "steps/s")
    yield _times("one request at a time", shared, figures["alone"], 3)
    yield _times("batch, then wait for the longest", shared, figures["wait"], 1.5)
    yield Row("steps, a newcomer's first emission", max(figures["newcomer"]), "steps", at_most(2))
    yield median_row(
        "LeNet-5 p99 beside steps, over alone",
        figures["beside"],
        "of a step",
        at_most(1),
        **{"step ms": statistics.median(figures["step"])},
    )


def repository() -> Path:
    """The repository with the decoder and LeNet-5."""
    decoder(REPOSITORY)
    if not (REPOSITORY / "lenet5").exists():
        copytree(ZOO / "lenet5", REPOSITORY / "lenet5")
    return REPOSITORY


async def _round(block_s: float) -> dict[str, float]:
    async with Engine(Config(repository=REPOSITORY, log_level="warning")) as engine:
        await _steps_per_s(engine, CALLERS, 0.5)
        alone = await _steps_per_s(engine, 1, block_s)
        wait = await asyncio.to_thread(_batch_then_wait, engine, block_s)
        shared = await _steps_per_s(engine, CALLERS, block_s)
        quiet = await _lenet_p99(engine, block_s)
        async with _busy(engine):
            newcomer = await _newcomer(engine)
            before = _executed(engine)
            busy = await _lenet_p99(engine, block_s)
            step_s = block_s / (_executed(engine) - before)
        beside = (busy - quiet) / step_s
    return {
        "alone": alone,
        "wait": wait,
        "shared": shared,
        "newcomer": newcomer,
        "beside": beside,
        "step": step_s * 1e3,
    }


def _times(what: str, shared: list[float], other: list[float], target: float) -> Row:
    ratios = [ours / theirs for ours, theirs in zip(shared, other, strict=True)]
    beside = {"steps/s": statistics.median(other)}
    return median_row(f"steps shared, against {what}", ratios, "times", at_least(target), **beside)


async def _steps_per_s(engine: Engine, callers: int, seconds: float) -> float:
    """The useful steps per second of ``callers``, each with one request at a time."""
    until = time.perf_counter() + seconds
    taken = await asyncio.gather(*(_caller(engine, seed, until) for seed in range(callers)))
    return sum(taken) / seconds


async def _caller(engine: Engine, seed: int, until: float) -> int:
    lengths = np.random.default_rng(seed)
    taken = 0
    while time.perf_counter() < until:
        taken += await _request(engine, int(lengths.integers(1, MAX_STEPS + 1)), until)
    return taken


async def _request(engine: Engine, steps: int, until: float = float("inf")) -> int:
    taken = 0
    async with aclosing(engine.steps(NAME, None, {}, (), Options(steps=steps))) as emissions:
        async for _ in emissions:
            taken += time.perf_counter() < until
    return taken


def _batch_then_wait(engine: Engine, seconds: float) -> float:
    """Useful steps per second if all slots are filled together, and again only when the longest request has ended."""
    model = engine.repository.get(NAME)
    loop = model.program
    assert isinstance(loop, Loop)
    slots = Slots(loop, model.session)
    lengths = np.random.default_rng(0)
    taken = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        wanted = lengths.integers(1, MAX_STEPS + 1, SLOTS)
        for _ in wanted:
            inputs = {"token": np.ones(1, "i8")}
            slots.place(StepRequest(inputs, {}, (), 1, int(wanted.max()), 0))
        while len(slots):
            slots.step()
        taken += int(wanted.sum())
    return taken / (time.perf_counter() - began)


@asynccontextmanager
async def _busy(engine: Engine) -> AsyncIterator[None]:
    """Run callers that keep all slots but one occupied."""
    callers = [asyncio.create_task(_caller(engine, seed, float("inf"))) for seed in range(CALLERS - 1)]
    try:
        yield
    finally:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def _newcomer(engine: Engine, times: int = 200) -> float:
    """The most steps that ran before the first emission of any of ``times`` new requests."""
    worst = 0
    for _ in range(times):
        before = _executed(engine)
        async with aclosing(engine.steps(NAME, None, {}, (), Options(steps=1))) as emissions:
            await anext(emissions)
        worst = max(worst, _executed(engine) - before)
    return worst


async def _lenet_p99(engine: Engine, seconds: float) -> float:
    """The p99 in seconds of requests sent every few milliseconds, so that they do not wait for each other."""
    times: list[float] = []
    until = time.perf_counter() + seconds
    for i in count():
        await asyncio.sleep(0.001 + i % 7 * 0.0005)  # at any moment of a step
        began = time.perf_counter()
        if began > until:
            return float(statistics.quantiles(times, n=100)[98])
        await engine.infer("lenet5", None, {"image": PIXELS})
        times.append(time.perf_counter() - began)
    raise AssertionError("count never ends")


def _executed(engine: Engine) -> int:
    return engine.repository.get(NAME).statistics.execution_count
