"""Measures a classifier's package through the serving engine, on the test split."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.imaging import prepare
from service.package import ClassifyCard, Package, Preprocessing
from training.classification.calibration import reliability, without_temperature
from training.data import Bytes, Labels, Shape, Source, Split, find_source
from training.errors import DataError, EvaluationError
from training.evaluation import Evaluation, open_package, serving
from training.intervals import Interval, bootstrap, wilson
from training.packages import size

ROWS = 256
# How far a metric may differ from the card's: 5 images in 10,000, because another processor may round a borderline one
# the other way, which also moves it to another bin of the calibration error.
TOLERANCES = {"accuracy": 5e-4, "ece": 2e-3}
FLOOR = 1e-12  # avoids the logarithm of a probability that has underflowed to 0

Probabilities = npt.NDArray[np.float32]


def evaluate(
    repository: Path, name: str, version: int | None = None, data: Path | None = None, dataset: str | None = None
) -> Evaluation:
    """Measure the package ``name`` (its newest version unless given) on a test split.

    The test split is that of ``dataset``, a name or a folder of images by class, or of the data set that the card
    names; published files are in ``data``.

    Raises:
        EvaluationError: there is no such package, or the data set that its card names is not found, or has changed.
        InvalidPackage: the package contradicts itself.
        DataError: the test split cannot be obtained, or has too few of the package's classes.
    """
    package = open_package(repository, name, version)
    card = package.classifier
    wanted = card.provenance.dataset
    if dataset is None and wanted is None:
        raise EvaluationError(f"{card.name}/{card.version}: its card names no data set; give one with --data")
    try:
        source = find_data(dataset or (wanted.name if wanted else ""), shape(card), package.labels, data)
    except DataError as error:
        if dataset is None and wanted is not None and wanted.source == "a folder of images by class":
            raise EvaluationError(
                f"{card.name}/{card.version} was trained on the folder {wanted.name}; give it with --data"
            ) from error
        raise
    same = wanted is not None and wanted.files == dict(source.files)
    if not same and dataset is None:
        raise EvaluationError(
            f"{card.name}/{card.version}: the files of {source.name} on its card differ from the published ones"
        )
    test = relabel(source.test(), source.labels, package.labels)
    return Evaluation(
        card=card,
        dataset=source.name,
        count=len(test),
        size=size(package),
        metrics=measure(repository, package, test),
        said=card.provenance.metrics if same else None,
        tolerances=TOLERANCES,
    )


def find_data(dataset: str, shape: Shape, labels: Sequence[str], folder: Path | None) -> Source:
    """The data set ``dataset`` with those of its classes that are in ``labels``, in the order of ``labels``.

    Raises:
        DataError: it cannot be obtained, or has fewer than two of the labels.
    """
    source = find_source(dataset, shape, folder)
    known = [label for label in labels if label in source.labels]
    if len(known) < 2:
        raise DataError(
            f"{dataset} has the classes {', '.join(source.labels[:5])}..., {len(known)} of the model's {len(labels)}; "
            "it needs two or more of them"
        )
    return find_source(dataset, shape, folder, known)


def relabel(split: Split, labels: Sequence[str], wanted: Sequence[str]) -> Split:
    """``split``, whose labels are indices into ``labels``, with indices into ``wanted``."""
    place = {label: index for index, label in enumerate(wanted)}
    return Split(split.images, np.array([place[label] for label in labels])[split.labels])


def shape(card: ClassifyCard) -> Shape:
    """Channels, height and width of the classifier's input."""
    taken = card.preprocessing
    return 1 if taken.colour == "grey" else 3, taken.height, taken.width


def measure(repository: Path, package: Package, split: Split) -> dict[str, float]:
    """The metrics of ``package`` in ``repository`` on ``split``, by the names of `score`."""
    probabilities = ask(repository, package, split.images)
    return score(probabilities, split.labels, package.classifier.provenance.temperature)


def intervals(probabilities: Probabilities, labels: Labels) -> dict[str, Interval]:
    """The 95 % confidence intervals of ``accuracy`` and ``cross_entropy``.

    ``ece`` has none: it grows with chance, so that samples of the same images have a larger one than all of them.
    """
    right = int((probabilities.argmax(1) == labels).sum())
    return {"accuracy": wilson(right, len(labels)), "cross_entropy": bootstrap(_surprise(probabilities, labels))}


def score(probabilities: Probabilities, labels: Labels, temperature: float = 1.0) -> dict[str, float]:
    """``accuracy``, mean ``cross_entropy`` (nats) and expected calibration error ``ece`` of ``probabilities``.

    With a ``temperature``, also ``ece_uncalibrated``, the error without it.
    """
    metrics = {
        "accuracy": (probabilities.argmax(1) == labels).mean(),
        "cross_entropy": _surprise(probabilities, labels).mean(),
        "ece": reliability(probabilities, labels).error,
    }
    if temperature != 1:
        metrics["ece_uncalibrated"] = reliability(without_temperature(probabilities, temperature), labels).error
    return {name: round(float(value), 6) for name, value in metrics.items()}


def _surprise(probabilities: Probabilities, labels: Labels) -> npt.NDArray[np.float64]:
    """The cross-entropy (N,) of each image, in nats."""
    likelihood = probabilities[np.arange(len(labels)), labels]  # (N,)
    found: npt.NDArray[np.float64] = -np.log(np.maximum(likelihood, FLOOR), dtype=np.float64)
    return found


def ask(repository: Path, package: Package, images: Bytes) -> Probabilities:
    """The probabilities (N, classes) that the engine gives for ``images`` (N, H, W) or (N, H, W, 3)."""
    return asyncio.run(_ask(repository, package, images))


async def _ask(repository: Path, package: Package, images: Bytes) -> Probabilities:
    card, found = package.classifier, []
    async with serving(repository, package) as engine:
        for start in range(0, len(images), ROWS):
            rows = prepare_all(images[start : start + ROWS], card.preprocessing)
            answer = await engine.infer(
                card.name, str(card.version), {card.preprocessing.tensor: rows}, [card.classes.tensor]
            )
            found.append(answer.outputs[card.classes.tensor])
    return np.concatenate(found)  # (N, classes)


def prepare_all(images: Bytes, preprocessing: Preprocessing) -> Bytes:
    """Images (B, H, W) or (B, H, W, 3), prepared as in serving: (B, height, width) or (B, height, width, 3)."""
    return np.stack([prepare(Image.fromarray(image), preprocessing) for image in images])
