"""An engine to test, callers that ask it, and what their answers must be."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from service.config import Config
from service.engine import Answer, Emission, Engine, Options
from service.engine.steps import StepLoop
from service.engine.tensors import Tensors
from tests.packages import MAX_BATCH, assert_close, example, expected
from tests.step_packages import chars

WHITE = np.full((1, 4, 4), 255, "u1")


def serving(repository: Path, **settings: Any) -> Engine:
    """An engine to enter: one lane of one thread, unless the settings say otherwise."""
    return Engine(Config.model_validate({"repository": repository, "lanes": 1, "intra_op": 1, **settings}))


def ask(
    engine: Engine,
    images: NDArray[np.uint8],
    model: str = "tiny",
    version: str | None = "1",
    outputs: Sequence[str] = (),
    **options: Any,
) -> asyncio.Task[Answer]:
    """A caller of its own."""
    return asyncio.create_task(engine.infer(model, version, {"image": images}, outputs, Options(**options)))


def stream(
    engine: Engine, model: str = "chars", inputs: Tensors | None = None, outputs: Sequence[str] = (), **options: Any
) -> asyncio.Task[list[Emission]]:
    """A caller of its own, who listens to a loop to its end."""

    async def listen() -> list[Emission]:
        async with aclosing(engine.steps(model, "1", inputs or {}, outputs, Options(**options))) as emissions:
            return [emission async for emission in emissions]

    return asyncio.create_task(listen())


def token(rows: int = 1, value: int = 1) -> Tensors:
    """What rows of a character loop begin with."""
    return {"token": np.full(rows, value)}


def label(*labels: int) -> Tensors:
    """What a diffusion is asked for."""
    return {"label": np.array(labels)}


def check_tokens(emissions: list[Emission], seed: int, steps: int = 20, rows: int = 1, *, ends: bool = True) -> None:
    """Each row has emitted the tokens of its seed, and its last one again until the last row had ended."""
    expected_tokens = [chars(seed, steps, row, ends=ends) for row in range(rows)]
    longest = max(map(len, expected_tokens))
    assert [emission.step for emission in emissions] == list(range(1, longest + 1))
    assert [emission.last for emission in emissions] == [False] * (longest - 1) + [True]
    emitted = np.stack([emission.outputs["next_token"] for emission in emissions], axis=1)
    assert emitted.tolist() == [tokens + tokens[-1:] * (longest - len(tokens)) for tokens in expected_tokens]


async def settled(engine: Engine) -> None:
    """Wait until every lane is idle, and see that nothing of any request is left inside."""
    for _ in range(1000):
        if engine._dispatcher.at_rest:
            break
        await asyncio.sleep(0.002)
    assert engine._dispatcher.at_rest
    for queue in engine._queues:
        assert not queue
        assert (queue.requests.rows, queue.requests.waiting, queue.requests.reserved) == (0, 0, 0)
        if isinstance(queue, StepLoop):
            assert len(queue.slots) == 0
            assert not queue._active


async def ask_in_order(engine: Engine, *rows: int) -> list[asyncio.Task[Answer]]:
    """Callers of so many rows, who have come to the queue in this order."""
    callers = [ask(engine, example(count, seed)) for seed, count in enumerate(rows)]
    await asyncio.sleep(0)
    return callers


def check_answer(answer: Answer, images: NDArray[np.uint8], version: int = 1) -> None:
    """The answer is that to these images."""
    assert_close(answer.outputs["probabilities"], expected(images, version))
    assert_close(answer.outputs["mean"], images.mean((1, 2), dtype="f4"))


async def check_all(callers: Sequence[asyncio.Task[Answer]], *rows: int) -> None:
    """Those of `ask_in_order` have the answers to their own rows."""
    for seed, (caller, count) in enumerate(zip(callers, rows, strict=True)):
        check_answer(await caller, example(count, seed))


def waiting_rows(model: str = "tiny") -> float | None:
    """What the metric says of version 1."""
    return REGISTRY.get_sample_value("lectorium_queue_rows", {"model": model, "version": "1"})


def batches(field: str) -> float:
    """The count or sum of the rows of all batches of tiny/1 so far."""
    name = f"lectorium_batch_rows_{field}"
    return REGISTRY.get_sample_value(name, {"model": "tiny", "version": "1"}) or 0.0


def run_on(engine: Engine, *, lanes: bool) -> None:
    """Have every batch run on the lanes, or every one on the loop, however quick it is here today."""
    for model in engine.repository:
        model.session.inline_rows = 0 if lanes else MAX_BATCH
