"""Captions: the gain of sharing every step, the time to the first word, and the speed relative to the bare session.

Measured at the engine, without a surface, on the shipped captioners: 16 callers ask for captions of random lengths, one
after another, of the image of the package's golden example. A caption may also end before its length.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import NamedTuple

import numpy as np
import uvloop

from deploy.bench.lenet import ZOO
from deploy.bench.plan import Plan
from deploy.bench.table import Row, at_least, at_most, median_row
from service.config import Config
from service.engine import DecodingOptions, Engine, Options
from service.engine.model import Model
from service.engine.sampling_parameters import SamplingParameters
from service.engine.slots import Slots
from service.engine.step_request import StepRequest
from service.engine.tensors import DTYPES, Tensors
from service.package import Loop, read_package
from service.package.caption import CaptionCard

CALLERS = 16
STRATEGIES = {
    "greedy": SamplingParameters(),
    "sampling, top-k 40": SamplingParameters("sample", top_k=40),
    "sampling, top-p 0.9": SamplingParameters("sample", top_p=0.9),
    "beam search, width 3": SamplingParameters("beam", width=3),
}
GREEDY = DecodingOptions(strategy="greedy")


class First(NamedTuple):
    """The seconds to a caption's first word, and how many of them were spent in the queue."""

    took_s: float
    waited_s: float


def rows(plan: Plan) -> Iterator[Row]:
    """For each shipped captioner: the throughput against two other ways, the first word, and the bare session."""
    for name in captioners():
        rounds = [uvloop.run(_round(name, plan.block_s)) for _ in range(plan.rounds)]
        found = {figure: [each[figure] for each in rounds] for figure in rounds[0]}
        shared = found["shared"]
        yield median_row(f"{name}, {CALLERS} captions at once", shared, "words/s")
        for way, what, target in (
            ("alone", "one request at a time", 3.0),
            ("wait", "batch, then wait for the longest", 1.5),
        ):
            ratios = [ours / theirs for ours, theirs in zip(shared, found[way], strict=True)]
            beside = {"words/s": statistics.median(found[way])}
            yield median_row(f"{name}, shared against {what}", ratios, "times", at_least(target), **beside)
        parts = {part: statistics.median(found[part]) for part in ("first ms", "encoder ms", "step ms")}
        yield median_row(
            f"{name}, first word p99 less its queue, over the encoder and two steps",
            found["first"],
            "x",
            at_most(1.0),
            **parts,
        )
        for strategy in STRATEGIES:
            yield median_row(f"{name}, {strategy}, of the bare steps", found[strategy], "of words/s", at_least(0.8))


def captioners() -> Iterator[str]:
    """The names of the shipped captioners."""
    for folder in sorted(path.parent for path in ZOO.glob("*/*/model.json")):
        if isinstance((package := read_package(folder)).card, CaptionCard):
            yield package.card.name


async def _round(name: str, block_s: float) -> dict[str, float]:
    config = Config(repository=ZOO, model_control="explicit", load_models=(), log_level="warning")
    async with Engine(config) as engine:
        await engine.control.load(name)
        model = engine.repository.get(name)
        await _words_per_s(engine, model, CALLERS, 0.5, [])
        firsts: list[First] = []
        alone = await _words_per_s(engine, model, 1, block_s, [])
        wait = await asyncio.to_thread(_batch_then_wait, model, block_s)
        shared = await _words_per_s(engine, model, CALLERS, block_s, firsts)
        bare = await asyncio.to_thread(_bare, model, block_s / 2)
        stepped = {
            name: await asyncio.to_thread(_stepped, model, sampling, block_s / 2)
            for name, sampling in STRATEGIES.items()
        }
        encoder_s = await asyncio.to_thread(_encoder_s, model, _most(model))
    step_s = CALLERS / bare
    took_s, waited_s = np.array(firsts).T
    return {
        "alone": alone,
        "wait": wait,
        "shared": shared,
        "first": float(np.quantile(took_s - waited_s, 0.99)) / (encoder_s + 2 * step_s),
        "first ms": float(np.quantile(took_s, 0.99)) * 1e3,
        "encoder ms": encoder_s * 1e3,
        "step ms": step_s * 1e3,
        **{name: words / bare for name, words in stepped.items()},
    }


async def _words_per_s(engine: Engine, model: Model, callers: int, seconds: float, firsts: list[First]) -> float:
    """The words per second of ``callers``, each with one request at a time; appends the first words to ``firsts``."""
    until = time.perf_counter() + seconds
    taken = await asyncio.gather(*(_caller(engine, model, seed, until, firsts) for seed in range(callers)))
    return sum(taken) / seconds


async def _caller(engine: Engine, model: Model, seed: int, until: float, firsts: list[First]) -> int:
    loop, random, taken = _loop(model), np.random.default_rng(seed), 0
    image = _image(model)
    while time.perf_counter() < until:
        options = Options(steps=int(random.integers(1, loop.steps.maximum + 1)), decoding=GREEDY)
        began, first = time.perf_counter(), True
        async with aclosing(engine.steps(model, None, image, (), options)) as emissions:
            async for emission in emissions:
                now = time.perf_counter()
                if first:
                    firsts.append(First(now - began, emission.queue_s))
                    first = False
                taken += now < until
    return taken


def _batch_then_wait(model: Model, seconds: float) -> float:
    """Words per second if callers are encoded together and stepped together until the longest caption has ended."""
    loop, random, taken = _loop(model), np.random.default_rng(0), 0
    slots = Slots(loop, model.session)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        wanted = random.integers(1, loop.steps.maximum + 1, CALLERS)
        for encoded in _encoded(model, CALLERS):
            slots.place(StepRequest({}, encoded, (), 1, int(wanted.max()), 0, sampling=STRATEGIES["greedy"]))
        step = 0
        while len(slots):
            step += 1
            slots.step()
            taken += int((wanted >= step).sum())
    return taken / (time.perf_counter() - began)


def _bare(model: Model, seconds: float) -> float:
    """Rows per second of the bare step session, with `CALLERS` rows in each run."""
    loop, runs = _loop(model), 0
    encoded = _encoded(model, 1)[0]
    inputs = {spec.name: np.zeros((CALLERS, *spec.shape[1:]), DTYPES[spec.datatype]) for spec in loop.step.inputs}
    inputs |= {name: np.repeat(encoded[name], CALLERS, 0) for name in inputs if name in encoded}
    buffers = {spec.name: model.session.buffer(spec, CALLERS, on_device=False) for spec in loop.step.inputs}
    for name, buffer in buffers.items():
        buffer.rows[:] = inputs[name]
    outputs = {spec.name: model.session.buffer(spec, CALLERS, on_device=False) for spec in loop.step.outputs}
    run = model.session.bound(buffers, outputs, 0, CALLERS)
    run()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        run()
        runs += 1
    return runs * CALLERS / (time.perf_counter() - began)


def _stepped(model: Model, sampling: SamplingParameters, seconds: float) -> float:
    """Rows a second that the slots step, as many at a time: with the choice of each row's word around the session."""
    loop, random = _loop(model), np.random.default_rng(0)
    slots, taken, began = Slots(loop, model.session), 0, time.perf_counter()
    (encoded,) = _encoded(model, 1)
    repeated = {name: np.repeat(tensor, sampling.width, 0) for name, tensor in encoded.items()}
    while time.perf_counter() - began < seconds:
        while len(slots) + sampling.width <= CALLERS:
            steps = loop.steps.maximum
            seed = int(random.integers(1 << 31))
            slots.place(StepRequest({}, repeated, (), sampling.width, steps, seed, sampling=sampling))
        run, _ = slots.step()
        taken += run.rows
    return taken / (time.perf_counter() - began)


def _image(model: Model) -> Tensors:
    """The image of the golden example."""
    (spec,), golden = _loop(model).encoder_inputs, model.card.golden
    assert golden is not None
    with np.load(model.package.folder / golden.file) as arrays:
        return {spec.name: arrays[f"encoder.{spec.name}"][:1]}


def _encoded(model: Model, images: int) -> list[Tensors]:
    """The encoder's output for ``images`` copies of the image, run as one batch, for each of them."""
    assert model.encoder is not None
    names = [spec.name for spec in model.encoder.graph.outputs]
    inputs = {name: np.repeat(pixels, images, 0) for name, pixels in _image(model).items()}
    found = dict(zip(names, model.encoder.run(names, inputs), strict=True))
    return [{name: tensor[row : row + 1] for name, tensor in found.items()} for row in range(images)]


def _encoder_s(model: Model, rows: int) -> float:
    """The median time, in seconds, of a run of the encoder on ``rows`` images."""
    assert model.encoder is not None
    image, times = {name: np.repeat(pixels, rows, 0) for name, pixels in _image(model).items()}, []
    names = [spec.name for spec in model.encoder.graph.outputs]
    for _ in range(30):
        began = time.perf_counter()
        model.encoder.run(names, image)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _most(model: Model) -> int:
    """The images in the largest run of the encoder that the callers can fill."""
    encoder = _loop(model).encoder
    assert encoder is not None
    return min(CALLERS, encoder.max_batch)


def _loop(model: Model) -> Loop:
    assert isinstance(model.program, Loop)
    return model.program
