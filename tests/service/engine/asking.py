"""An engine to test, callers that ask it, and what their answers must be."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from service.config import Config
from service.engine import Answer, Engine
from tests.packages import MAX_BATCH, assert_close, example, expected

WHITE = np.full((1, 4, 4), 255, "u1")


def serving(repository: Path, **settings: Any) -> Engine:
    """An engine to enter: one lane of one thread, unless the settings say otherwise."""
    return Engine(Config.model_validate({"repository": repository, "lanes": 1, "intra_op": 1, **settings}))


def ask(
    engine: Engine, images: NDArray[np.uint8], model: str = "tiny", version: str | None = "1", **options: Any
) -> asyncio.Task[Answer]:
    """A caller of its own."""
    return asyncio.create_task(engine.infer(model, version, {"image": images}, **options))


async def ask_in_turn(engine: Engine, *rows: int) -> list[asyncio.Task[Answer]]:
    """Callers of so many rows, who have come to the queue in this order."""
    callers = [ask(engine, example(count, seed)) for seed, count in enumerate(rows)]
    await asyncio.sleep(0)
    return callers


def check_answer(answer: Answer, images: NDArray[np.uint8], version: int = 1) -> None:
    """The answer is that to these images."""
    assert_close(answer.outputs["probabilities"], expected(images, version))
    assert_close(answer.outputs["mean"], images.mean((1, 2), dtype="f4"))


async def check_all(callers: Sequence[asyncio.Task[Answer]], *rows: int) -> None:
    """Those of `ask_in_turn` have the answers to their own rows."""
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
        model.inline_rows = 0 if lanes else MAX_BATCH
