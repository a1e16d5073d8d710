"""Measures a generative network's package through the serving engine."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.package import Package
from service.package.generate import Score
from training.data import Bytes, find_source
from training.errors import EvaluationError
from training.evaluation import Evaluation, Measured, named_source, open_package, serving
from training.intervals import bootstrap
from training.packages import size

DRAWS = 64  # of latents, in one run of the score
RUNS = 8  # whose draws together bound the log-likelihood of an image: 512
ROWS = 64  # images of one request
TOLERANCE = 0.1  # nats that a metric may differ from the card's: another processor rounds otherwise
DIGITS = 4

Floats = npt.NDArray[np.float64]


def evaluate(repository: Path, name: str, version: int | None = None, data: Path | None = None) -> Evaluation:
    """Measure the generator ``name`` (its newest version unless given) on the test split of the set its card names.

    Published files are in ``data``.

    Raises:
        EvaluationError: there is no such package, its data set has changed, or it scores no images.
        DataError: the card names a data set that does not exist or cannot be obtained.
        InvalidPackage: the package contradicts itself, or is not a generator's.
    """
    package = open_package(repository, name, version)
    card = package.generator
    if card.score is None:
        raise EvaluationError(f"{package}: its card has no score, by which it could be measured")
    (height, width), channels = card.size, 3 if card.colour else 1
    source, _ = named_source(package, lambda dataset: find_source(dataset, (channels, height, width), data))
    images = source.test().images
    said = card.provenance.metrics
    return Evaluation(
        card=card,
        dataset=source.name,
        count=len(images),
        size=size(package),
        metrics=measure(repository, package, card.score, images).metrics,
        said=said,
        tolerances=dict.fromkeys(said, TOLERANCE),
    )


def measure(repository: Path, package: Package, score: Score, images: Bytes) -> Measured:
    """``nats``, minus the mean log-likelihood of ``images``, bounded by 512 draws, and ``bits_per_dim``.

    The pixels of binary images are drawn once for each image, from its number (dynamic binarisation).
    """
    found = -log_likelihoods(repository, package, score, images)
    nats, dims = float(found.mean()), images[0].size
    low, high = bootstrap(found)
    to_bits = 1 / (dims * np.log(2))
    return Measured(
        {"nats": round(nats, DIGITS), "bits_per_dim": round(nats * to_bits, DIGITS)},
        {"nats": (low, high), "bits_per_dim": (round(low * to_bits, DIGITS), round(high * to_bits, DIGITS))},
    )


def log_likelihoods(repository: Path, package: Package, score: Score, images: Bytes) -> Floats:
    """The bound on log p (N,) of each of the ``images``, in nats."""
    return asyncio.run(_log_likelihoods(repository, package, score, images))


async def _log_likelihoods(repository: Path, package: Package, score: Score, images: Bytes) -> Floats:
    card, rows = package.card, min(ROWS, score.graph.max_batch)
    found = np.empty((RUNS, len(images)))
    async with serving(repository, package) as engine:
        for start in range(0, len(images), rows):
            numbers = range(start, min(start + rows, len(images)))
            for run in range(RUNS):
                inputs = {score.image: images[numbers.start : numbers.stop], **_draw(score, numbers, run)}
                answer = await engine.infer(card.name, str(card.version), inputs, [score.log_likelihood], part="score")
                found[run, numbers.start : numbers.stop] = answer.outputs[score.log_likelihood]
    largest = found.max(0)
    bounds: Floats = largest + np.log(np.exp(found - largest).mean(0))
    return bounds


def _draw(score: Score, numbers: range, run: int) -> dict[str, Any]:
    """The random inputs of the images with these ``numbers``.

    Uniform numbers make the pixels of an image binary, and are the same in every run; normal ones are its latents.
    """
    inputs = {tensor.name: tensor.shape[1:] for tensor in score.graph.inputs}
    found = {}
    for name, draw in score.draws.items():
        of = {"uniform": _uniform, "normal": _normal}[draw.distribution]
        found[name] = np.stack([of(inputs[name], number, run) for number in numbers])
    return found


def _uniform(shape: Sequence[int], number: int, _: int) -> npt.NDArray[np.float32]:
    return np.random.Generator(np.random.Philox(key=[0, number])).random(shape, "f4")


def _normal(shape: Sequence[int], number: int, run: int) -> npt.NDArray[np.float32]:
    return np.random.Generator(np.random.Philox(key=[1 + run, number])).standard_normal(shape, "f4")
