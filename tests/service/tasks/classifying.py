"""A classifier to test, with its engine, and images for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from service.config import Config
from service.engine import Engine
from service.tasks.caller import ANY_CALLER, Caller
from service.tasks.classify import Classify
from service.tasks.image_decoding import ImageDecoder
from tests.packages import example
from tests.pictures import encoded
from tests.service.tasks.asking import answer


@asynccontextmanager
async def serving(repository: Path, **settings: Any) -> AsyncIterator[tuple["Classifying", Engine]]:
    """A classifier and its engine; `tiny` answers where no model is named."""
    settings = {"repository": repository, "lanes": 1, "intra_op": 1, "default_models": "classify=tiny", **settings}
    config = Config.model_validate(settings)
    async with Engine(config) as engine:
        yield Classifying(Classify(engine, config, ImageDecoder(config))), engine


class ClassifyOptions(NamedTuple):
    """What may be asked beside the image."""

    top_k: int | None = None
    views: str = ""
    explain: str = ""
    explain_label: str = ""
    layer: str = ""


DEFAULTS = ClassifyOptions()


class Classifying:
    """Asks a classifier as surfaces do: of one image, or of several."""

    def __init__(self, task: Classify) -> None:
        self._one, self._batch = task.endpoints

    async def __call__(
        self,
        image: bytes,
        model: str = "",
        version: str = "",
        options: ClassifyOptions = DEFAULTS,
        caller: Caller = ANY_CALLER,
    ) -> Any:
        """The answer of one."""
        return await answer(self._one, caller, image=image, model=model, version=version, **options._asdict())

    async def batch(
        self,
        images: Sequence[bytes],
        model: str = "",
        version: str = "",
        options: ClassifyOptions = DEFAULTS,
        caller: Caller = ANY_CALLER,
    ) -> Any:
        """The answer of several."""
        return await answer(self._batch, caller, images=images, model=model, version=version, **options._asdict())


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
