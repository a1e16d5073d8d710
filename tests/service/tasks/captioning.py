"""A captioner to test, with its engine, and what it must say, by numpy."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.config import Config
from service.engine import Engine
from service.tasks.caption import Caption
from service.tasks.captioning import Captioning, Word
from service.tasks.image_decoding import ImageDecoder
from tests.packages import change_card
from tests.pictures import encoded
from tests.service.tasks.asking import everything
from tests.step_packages import write_captioner
from tests.step_packages.words import END, NEVER, START, WORDS, attentions, chain, log_probabilities

DEFAULT_WORDS = 8
ENDLESS = 1_000_000


class Wanted(NamedTuple):
    """A caption as it must be; ``attention`` is (words, 2, 2)."""

    text: str
    log_probabilities: list[float]
    score: float
    attention: NDArray[np.float32]


def greedy(pixels: NDArray[np.uint8], words: int = DEFAULT_WORDS, prefix: Sequence[int] = ()) -> Wanted:
    """What the captioner of `write_captioner` says of an image, (2, 2), after the tokens of the prefix."""
    before = [START]
    said: list[float] = []
    while len(said) < words and before[-1] != END:
        given = log_probabilities(before[-1], pixels)
        allowed = given.copy()
        allowed[list(NEVER)] = -np.inf
        token = prefix[len(said)] if len(said) < len(prefix) else int(allowed.argmax())
        said.append(float(given[token]))
        before.append(token)
    tokens = [token for token in before[1:] if token != END]
    grids = attentions()[before[: len(tokens)]].reshape(-1, 2, 2)
    return Wanted(" ".join(WORDS[token] for token in tokens), said[: len(tokens)], sum(said), grids)


def pixels(seed: int) -> NDArray[np.uint8]:
    """An image the captioner takes as it is, (2, 2)."""
    return np.random.default_rng(seed).integers(0, 256, (2, 2), "u1")


def picture(seed: int) -> bytes:
    """The same as a file."""
    return encoded(Image.fromarray(pixels(seed)), "PNG")


BLACK = encoded(Image.new("L", (2, 2)), "PNG")


def write_endless(repository: Path, name: str = "endless") -> Path:
    """A captioner that comes to no end before its words are over, of which there may be very many."""
    table = chain()
    table[:, END] = -1e30  # no search is satisfied with such a sentence either
    folder = write_captioner(repository, name, table=table)
    change_card(folder, "loop.steps", {"default": DEFAULT_WORDS, "maximum": ENDLESS})
    return folder


@asynccontextmanager
async def serving(repository: Path, **settings: Any) -> AsyncIterator[tuple[Caption, Engine]]:
    """A captioner and its engine."""
    settings = {"repository": repository, "lanes": 1, "intra_op": 1, **settings}
    config = Config.model_validate(settings)
    async with Engine(config) as engine:
        yield Caption(engine, config, ImageDecoder(config)), engine


async def ask(
    captioner: Caption, image: bytes = BLACK, model: str = "captioner", **options: Any
) -> list[Word | Captioning]:
    """All that comes."""
    return await everything(captioner.endpoints[1], image=image, model=model, **options)


async def answer(captioner: Caption, image: bytes = BLACK, model: str = "captioner", **options: Any) -> Captioning:
    """What comes last."""
    *_, last = await ask(captioner, image, model, **options)
    assert isinstance(last, Captioning)
    return last
