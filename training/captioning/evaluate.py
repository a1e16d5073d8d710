"""Measures a captioner through the serving engine, as a caller gets its captions by default, and with beam search."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.engine import DecodingOptions, Engine, Options
from service.imaging import prepare
from service.package import Package
from service.package.token_choice import TOKEN, Strategy
from training.captioning.metrics import attention_mass, intervals, score
from training.data import Bytes, CaptionSource, CaptionSplit, find_captions
from training.data.digit_scenes import DigitScenes
from training.evaluation import Evaluation, Measured, Measuring, named_source, open_package, serving
from training.packages import size

AT_ONCE = 32  # images
# How far a metric may differ from the card's: another processor may choose another of two equally probable words.
TOLERANCE = 5e-3


@dataclass(frozen=True)
class Caption:
    """The best caption of an image: its text, and the attention for each word, (T, h, w), if the decoder has it."""

    text: str
    attention: npt.NDArray[np.float32] | None


def evaluate(repository: Path, name: str, version: int | None = None, data: Path | None = None) -> Evaluation:
    """Measure the captioner ``name`` (its newest version unless given) on the test split of the set its card names.

    Raises:
        EvaluationError: there is no such package, or the data set has changed.
        InvalidPackage: the package contradicts itself, or is not a captioner's.
        DataError: the test split cannot be obtained.
    """
    package = open_package(repository, name, version)
    card = package.captioner
    source, dataset = named_source(package, lambda name: find_captions(name, data))
    said = card.provenance.metrics
    return Evaluation(
        card=card,
        dataset=source.name,
        count=dataset.splits["test"],
        size=size(package),
        metrics=measure(repository, package, source, "test").metrics,
        said=said,
        tolerances={metric: TOLERANCE * max(1.0, value) for metric, value in said.items()},
    )


def measure(repository: Path, package: Package, source: CaptionSource, split: Measuring) -> Measured:
    """The metrics on a split, by the names of `score`; for digit scenes and a decoder with attention, `attention_mass`.

    They are those of the captions that a request gets which asks for no strategy (greedy ones). The same with beam
    search of the card's default width w have the suffix ``_beam<w>``.
    """
    examples = source.validation() if split == "validation" else source.test()
    served = ask(repository, package, examples.images)
    metrics = _metrics(served, examples, source, split)
    beam = package.captioner.loop.choice.beam if package.captioner.loop.choice else None
    if beam is not None:
        searched = ask(repository, package, examples.images, "beam")
        found = _metrics(searched, examples, source, split)
        metrics |= {f"{name}_beam{beam.width.default}": value for name, value in found.items()}
    return Measured(metrics, intervals([caption.text for caption in served], examples.captions))


def _metrics(
    captions: Sequence[Caption], examples: CaptionSplit, source: CaptionSource, split: Measuring
) -> dict[str, float]:
    texts = [caption.text for caption in captions]
    metrics = score(texts, examples.captions)
    maps = [caption.attention for caption in captions if caption.attention is not None]
    if isinstance(source, DigitScenes) and maps:
        metrics["attention_mass"] = round(attention_mass(texts, maps, list(source.scenes(split))), 6)
    return metrics


def ask(repository: Path, package: Package, images: Bytes, strategy: Strategy | None = None) -> list[Caption]:
    """The best caption of each image by ``strategy``, by default the package's own, through the serving engine."""
    return asyncio.run(_ask(repository, package, images, DecodingOptions(strategy=strategy)))


async def _ask(repository: Path, package: Package, images: Bytes, decoding: DecodingOptions) -> list[Caption]:
    free = asyncio.Semaphore(AT_ONCE)

    async def one(image: Bytes) -> Caption:
        async with free:
            return await _caption(engine, package, image, decoding)

    async with serving(repository, package) as engine:
        return await asyncio.gather(*map(one, images))


async def _caption(engine: Engine, package: Package, image: Bytes, decoding: DecodingOptions) -> Caption:
    card = package.captioner
    rows = {card.preprocessing.tensor: prepare(Image.fromarray(image), card.preprocessing)[np.newaxis]}
    options = Options(timeout_s=600.0, decoding=decoding)
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
