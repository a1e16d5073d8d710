"""Measuring a package as a caller meets it: through the serving engine, on the test split."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.config import load_config
from service.engine import Engine
from service.imaging import prepare
from service.package import ClassifyCard, Package, Preprocessing, read_package
from training.data import Bytes, Split, find_source
from training.errors import EvaluationError

ROWS = 256
# Five digits in ten thousand: another processor may round a borderline one the other way.
TOLERANCE = 5e-4
FLOOR = 1e-12  # keeps a probability that has underflowed to 0 out of the logarithm


@dataclass(frozen=True)
class Evaluation:
    """What a card says of the test split, and what was measured."""

    card: ClassifyCard
    metrics: dict[str, float]

    def check(self) -> None:
        """Raise EvaluationError where the accuracy is not the card's."""
        said, found = self.card.provenance.metrics["accuracy"], self.metrics["accuracy"]
        if abs(said - found) > TOLERANCE:
            raise EvaluationError(f"accuracy {found:.4f}, the card of {self.card.name} says {said:.4f}")


def evaluate(repository: Path, name: str, version: int | None = None, data: Path | None = None) -> Evaluation:
    """Measure the package ``name`` (its newest version unless given) on the test split its card names.

    Raises:
        EvaluationError: there is no such package, or it was measured on other data than what is here.
        InvalidPackage: the package contradicts itself.
        DataError: the test split cannot be had.
    """
    version = version or newest(repository, name)
    package = read_package(repository / name / str(version))
    dataset = package.classifier.provenance.dataset
    source = find_source(dataset.name)
    if dataset.files != dict(source.files):
        raise EvaluationError(f"{name}/{version}: its card names other files of {dataset.name} than are published")
    return Evaluation(package.classifier, measure(repository, package, source.test(data)))


def newest(repository: Path, name: str) -> int:
    """The highest version of ``name`` in ``repository``.

    Raises:
        EvaluationError: there is none.
    """
    found = versions(repository, name)
    if not found:
        raise EvaluationError(f"{repository}: no package {name!r}")
    return max(found)


def versions(repository: Path, name: str) -> list[int]:
    """The versions of ``name`` there are, in no order."""
    folder = repository / name
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []


def measure(repository: Path, package: Package, split: Split) -> dict[str, float]:
    """``accuracy`` and mean ``cross_entropy`` (nats) of ``package`` in ``repository`` over ``split``."""
    probabilities = asyncio.run(_answers(repository, package.classifier, split.images))  # (N, classes)
    likelihood = probabilities[np.arange(len(split)), split.labels]  # (N,)
    accuracy = float((probabilities.argmax(1) == split.labels).mean())
    loss = float(-np.log(np.maximum(likelihood, FLOOR), dtype=np.float64).mean())
    return {"accuracy": round(accuracy, 6), "cross_entropy": round(loss, 6)}


async def _answers(repository: Path, card: ClassifyCard, images: Bytes) -> npt.NDArray[np.float32]:
    config = load_config().model_copy(update={"repository": repository})
    answers = []
    async with Engine(config) as engine:
        for start in range(0, len(images), ROWS):
            rows = prepare_all(images[start : start + ROWS], card.preprocessing)
            answer = await engine.infer(card.name, str(card.version), {card.preprocessing.tensor: rows})
            answers.append(answer.outputs[card.classes.tensor])
    return np.concatenate(answers)  # (N, classes)


def prepare_all(images: Bytes, preprocessing: Preprocessing) -> Bytes:
    """Grey images (B, H, W) as serving would prepare them: (B, height, width) or (B, height, width, 3)."""
    return np.stack([prepare(Image.fromarray(image), preprocessing) for image in images])
