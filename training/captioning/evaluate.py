"""Measuring a captioner as a caller meets it: through the serving engine, on the test split."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.config import load_config
from service.engine import Decoding, Engine, Options
from service.imaging import prepare
from service.package import CaptionCard, Package, read_package
from service.package.choice import TOKEN
from training.captioning.metrics import attention_mass, score
from training.data import Bytes, CaptionSource, find_captions
from training.data.digit_scenes import DigitScenes
from training.errors import EvaluationError
from training.packages import newest, size

AT_ONCE = 32  # images
# By what a metric may differ from the card's: another processor may find another word where two are as probable.
TOLERANCE = 5e-3


@dataclass(frozen=True)
class Caption:
    """The best caption of an image: its text, and what was looked at for each word, (T, h, w), where that is known."""

    text: str
    attention: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class CaptionEvaluation:
    """What a package's card says of the test split of ``dataset``, and what was measured on its ``count`` images."""

    card: CaptionCard
    dataset: str
    count: int
    size: int
    metrics: Mapping[str, float]

    @property
    def said(self) -> Mapping[str, float]:
        """What the card says."""
        return self.card.provenance.metrics

    def check(self) -> None:
        """Raise EvaluationError where a metric is not the card's."""
        for name, said in self.said.items():
            if abs(said - self.metrics[name]) > TOLERANCE * max(1.0, said):
                raise EvaluationError(
                    f"{name} {self.metrics[name]:.4f}, the card of {self.card.name}/{self.card.version} says {said:.4f}"
                )


def evaluate(repository: Path, name: str, version: int | None = None, data: Path | None = None) -> CaptionEvaluation:
    """Measure the captioner ``name`` (its newest version unless given) on the test split of the set its card names.

    Raises:
        EvaluationError: there is no such package, or the data set has changed.
        InvalidPackage: the package contradicts itself, or is no captioner's.
        DataError: the test split cannot be had.
    """
    version = version or newest(repository, name)
    package = read_package(repository / name / str(version))
    card = package.captioner
    wanted = card.provenance.dataset
    if wanted is None:
        raise EvaluationError(f"{name}/{version}: its card names no data set")
    source = find_captions(wanted.name, data)
    if wanted.files != dict(source.files):
        raise EvaluationError(f"{name}/{version}: its card names other files of {source.name} than are published")
    return CaptionEvaluation(
        card, source.name, wanted.splits["test"], size(package), measure(repository, package, source)
    )


def measure(repository: Path, package: Package, source: CaptionSource) -> dict[str, float]:
    """The metrics of the best captions that beam search finds, as `score` names them.

    Of digit scenes, whose places are known, and a decoder that attends, also ``attention_mass``.
    """
    test = source.test()
    captions = asyncio.run(ask(repository, package, test.images))
    texts = [caption.text for caption in captions]
    metrics = score(texts, test.captions)
    maps = [caption.attention for caption in captions if caption.attention is not None]
    if isinstance(source, DigitScenes) and maps:
        metrics["attention_mass"] = round(attention_mass(texts, maps, list(source.scenes("test"))), 6)
    return metrics


async def ask(repository: Path, package: Package, images: Bytes) -> list[Caption]:
    """The best caption of each image that beam search finds, as served."""
    # This model alone: a repository may hold many, and large ones.
    alone = {"repository": repository, "model_control": "explicit", "load_models": ()}
    card, free = package.captioner, asyncio.Semaphore(AT_ONCE)

    async def one(image: Bytes) -> Caption:
        async with free:
            return await _caption(engine, package, image)

    async with Engine(load_config().model_copy(update=alone)) as engine:
        await engine.loader.load(card.name)
        return await asyncio.gather(*map(one, images))


async def _caption(engine: Engine, package: Package, image: Bytes) -> Caption:
    card = package.captioner
    rows = {card.preprocessing.tensor: prepare(Image.fromarray(image), card.preprocessing)[np.newaxis]}
    options = Options(timeout_s=600.0, decoding=Decoding(strategy="beam"))
    tokens: list[int] = []
    attention: list[npt.NDArray[np.float32]] = []
    async with aclosing(engine.steps(card.name, str(card.version), rows, (), options)) as emissions:
        async for emission in emissions:
            tokens.append(int(emission.outputs[TOKEN.name][0]))
            if card.attention is not None:
                attention.append(emission.outputs[card.attention.tensor][0])
    words = _words(tokens, card.loop.end_token)
    text = " ".join(package.vocabulary[token] for token in words)
    if card.attention is None:
        return Caption(text, None)
    grid = (card.attention.height, card.attention.width)
    return Caption(text, np.stack(attention)[: len(words)].reshape(-1, *grid))


def _words(tokens: Sequence[int], end: int | None) -> Sequence[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens
