"""Measures a language recogniser through the serving engine, on sentences and pieces of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.package import Package
from service.tasks.classify_text import text_row
from training.data import find_texts
from training.data.languages import Declaration, Texts, excerpts
from training.evaluation import Evaluation, named_source, open_package, serving
from training.packages import size

AT_ONCE = 32  # texts
PIECES = 2_800
SHORT = 20  # characters of a piece: short pieces are harder
TOLERANCE = 5e-3  # how far a metric may differ from the card's


def evaluate(repository: Path, name: str, version: int | None = None) -> Evaluation:
    """Measure the recogniser ``name`` (its newest version unless given) on the test split of the set its card names.

    Raises:
        EvaluationError: there is no such package, or the texts have changed.
        DataError: the card names texts that do not exist.
        InvalidPackage: the package contradicts itself, or is not a language recogniser's.
    """
    package = open_package(repository, name, version)
    card = package.text_classifier
    source, dataset = named_source(package, find_texts)
    said = card.provenance.metrics
    return Evaluation(
        card=card,
        dataset=source.name,
        count=dataset.splits["test"],
        size=size(package),
        metrics=measure(repository, package, source),
        said=said,
        tolerances=dict.fromkeys(said, TOLERANCE),
    )


def measure(repository: Path, package: Package, source: Declaration) -> dict[str, float]:
    """``accuracy`` on the test split's sentences, and ``accuracy_20`` on pieces of 20 characters of them."""
    test = source.test()
    return {
        "accuracy": _accuracy(repository, package, test),
        f"accuracy_{SHORT}": _accuracy(repository, package, excerpts(test, PIECES, (SHORT, SHORT), 0)),
    }


def _accuracy(repository: Path, package: Package, texts: Texts) -> float:
    probabilities = ask(repository, package, texts.texts)
    return round(float((probabilities.argmax(1) == texts.labels).mean()), 6)


def ask(repository: Path, package: Package, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """The probabilities (N, labels) that the engine gives for ``texts``."""
    return asyncio.run(_ask(repository, package, texts))


async def _ask(repository: Path, package: Package, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    card, free = package.text_classifier, asyncio.Semaphore(AT_ONCE)

    async def one(text: str) -> npt.NDArray[Any]:
        async with free:
            rows = {card.text.tensor: text_row(card, text)}
            answer = await engine.infer(card.name, str(card.version), rows, [card.classes.tensor])
            return answer.outputs[card.classes.tensor]

    async with serving(repository, package) as engine:
        found: list[npt.NDArray[Any]] = await asyncio.gather(*map(one, texts))
    return np.concatenate(found)
