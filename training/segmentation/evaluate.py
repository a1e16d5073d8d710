"""Measures a segmentation network's package through the serving engine."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from service.imaging import prepare
from service.package import Package
from training.data import Bytes, MaskSource, MaskSplit, find_masks
from training.evaluation import Evaluation, Measured, Measuring, named_source, open_package, serving
from training.intervals import bootstrap
from training.packages import size
from training.segmentation.metrics import Counts, accuracy, boundary_f1, class_accuracy, confusion, dice, mean_iou

ROWS = 16
TOLERANCE = 1e-3  # how far a metric may differ from the card's: another processor may round a pixel the other way
DIGITS = 6


def evaluate(repository: Path, name: str, version: int | None = None, data: Path | None = None) -> Evaluation:
    """Measure the segmenter ``name`` (its newest version unless given) on the test split of the set its card names.

    Published files are in ``data``.

    Raises:
        EvaluationError: there is no such package, or its data set has changed.
        DataError: the card names a data set that does not exist or cannot be obtained.
        InvalidPackage: the package contradicts itself, or is not a segmenter's.
    """
    package = open_package(repository, name, version)
    card = package.segmenter
    source, _ = named_source(package, lambda dataset: find_masks(dataset, data))
    test = source.test()
    measured, _ = measure(repository, package, test, source.background)
    said = card.provenance.metrics
    return Evaluation(
        card=card,
        dataset=source.name,
        count=len(test),
        size=size(package),
        metrics=measured.metrics,
        said=said,
        tolerances=dict.fromkeys(said, TOLERANCE),
    )


def choose(source: MaskSource, split: Measuring) -> MaskSplit:
    """The examples of a split to measure on."""
    return source.validation() if split == "validation" else source.test()


def measure(repository: Path, package: Package, examples: MaskSplit, background: int | None) -> tuple[Measured, Counts]:
    """The metrics of ``package`` on ``examples``, and the pixels of each pair of classes (classes, classes).

    ``mean_iou``, ``accuracy`` and ``class_accuracy`` are those of the pixels of all images together, ``boundary_f1``
    and ``dice`` (without the ``background``) means over the images. Intervals are drawn over images.
    """
    masks, predicted = examples.masks, ask(repository, package, examples.images)
    classes = len(package.segmenter.segmentation.palette)
    counts = confusion(masks, predicted, classes)
    together: dict[str, Callable[[Counts], float]] = {
        "mean_iou": mean_iou,
        "accuracy": accuracy,
        "class_accuracy": class_accuracy,
    }
    apart = {"boundary_f1": boundary_f1(masks, predicted, classes), "dice": dice(counts, background)}
    metrics = {name: of(counts.sum(0)) for name, of in together.items()}
    metrics |= {name: float(values.mean()) for name, values in apart.items()}
    intervals = {name: bootstrap(counts.astype(np.float64), statistic=_of_sum(of)) for name, of in together.items()}
    intervals |= {name: bootstrap(values) for name, values in apart.items()}
    rounded = {name: round(value, DIGITS) for name, value in metrics.items()}
    return Measured(rounded, intervals), counts.sum(0)


def _of_sum(of: Callable[[Counts], float]) -> Callable[[Counts], float]:
    return lambda sample: of(sample.sum(0))


def ask(repository: Path, package: Package, images: Bytes) -> Bytes:
    """The masks (N, H, W), of the preprocessing's size, that the engine gives ``images`` (N, H, W) or (N, H, W, 3)."""
    return asyncio.run(_ask(repository, package, images))


async def _ask(repository: Path, package: Package, images: Bytes) -> Bytes:
    card, found = package.segmenter, []
    async with serving(repository, package) as engine:
        for start in range(0, len(images), ROWS):
            taken = [prepare(Image.fromarray(image), card.preprocessing) for image in images[start : start + ROWS]]
            rows = {card.preprocessing.tensor: np.stack(taken)}
            answer = await engine.infer(card.name, str(card.version), rows, [card.segmentation.mask])
            found.append(answer.outputs[card.segmentation.mask])
    return np.concatenate(found)
