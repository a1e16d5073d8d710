"""A classifier to test, with its engine, and images for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from service.config import Config
from service.engine import Engine
from service.tasks.classify import Classifier
from service.tasks.decoding import Decoder
from tests.packages import example
from tests.pictures import encoded


@asynccontextmanager
async def serving(repository: Path, **settings: Any) -> AsyncIterator[tuple[Classifier, Engine]]:
    """A classifier and its engine; `tiny` answers where no model is named."""
    settings = {"repository": repository, "lanes": 1, "intra_op": 1, "default_classifier": "tiny", **settings}
    config = Config.model_validate(settings)
    async with Engine(config) as engine:
        yield Classifier(engine, config, Decoder(config)), engine


def waiting(engine: Engine) -> int:
    """How many requests wait, for any model."""
    return sum(count for _, count in engine.waiting())


async def come_to_wait(engine: Engine, callers: int) -> None:
    """Wait until so many requests do."""
    for _ in range(5000):
        if waiting(engine) == callers:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{waiting(engine)} of {callers} requests wait")


def png(seed: int) -> bytes:
    """The image `example` makes of that seed."""
    return encoded(Image.fromarray(example(1, seed)[0]), "PNG")
