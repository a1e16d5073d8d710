"""Measuring a recogniser of languages as a caller meets it: through the serving engine, on sentences and pieces."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.config import load_config
from service.engine import Engine
from service.package import Package, TextClassifyCard, read_package
from service.tasks.text_classify import text_row
from training.data import find_texts
from training.data.languages import Declaration, Texts, excerpts
from training.errors import EvaluationError
from training.packages import newest, size

AT_ONCE = 32  # texts
PIECES = 2_800
SHORT = 20  # characters of the pieces that are hard
TOLERANCE = 5e-3


@dataclass(frozen=True)
class LanguageEvaluation:
    """What a package's card says of the test split of ``dataset``, and what was measured on its ``count`` sentences."""

    card: TextClassifyCard
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
            if abs(said - self.metrics[name]) > TOLERANCE:
                raise EvaluationError(
                    f"{name} {self.metrics[name]:.4f}, the card of {self.card.name}/{self.card.version} says {said:.4f}"
                )


def evaluate(repository: Path, name: str, version: int | None = None) -> LanguageEvaluation:
    """Measure the recogniser ``name`` (its newest version unless given) on the test split of the set its card names.

    Raises:
        EvaluationError: there is no such package, or the texts have changed.
        DataError: its card names texts that there are not.
        InvalidPackage: the package contradicts itself, or recognises no languages.
    """
    version = version or newest(repository, name)
    package = read_package(repository / name / str(version))
    card = package.text_classifier
    wanted = card.provenance.dataset
    if wanted is None:
        raise EvaluationError(f"{name}/{version}: its card names no data set")
    source = find_texts(wanted.name)
    if wanted.files != dict(source.files):
        raise EvaluationError(f"{name}/{version}: its card names other texts of {source.name} than are published")
    metrics = measure(repository, package, source)
    return LanguageEvaluation(card, source.name, len(source.test()), size(package), metrics)


def measure(repository: Path, package: Package, source: Declaration) -> dict[str, float]:
    """``accuracy`` on the sentences of the test split, and ``accuracy_20`` on pieces of 20 characters of them."""
    test = source.test()
    return {
        "accuracy": _accuracy(repository, package, test),
        f"accuracy_{SHORT}": _accuracy(repository, package, excerpts(test, PIECES, (SHORT, SHORT), 0)),
    }


def _accuracy(repository: Path, package: Package, texts: Texts) -> float:
    probabilities = asyncio.run(ask(repository, package, texts.texts))
    return round(float((probabilities.argmax(1) == texts.labels).mean()), 6)


async def ask(repository: Path, package: Package, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """The probabilities (N, labels) of the texts, as served."""
    alone = {"repository": repository, "model_control": "explicit", "load_models": ()}
    card, free = package.text_classifier, asyncio.Semaphore(AT_ONCE)

    async def one(text: str) -> npt.NDArray[Any]:
        async with free:
            rows = {card.text.tensor: text_row(card, text)}
            answer = await engine.infer(card.name, str(card.version), rows, [card.classes.tensor])
            return answer.outputs[card.classes.tensor]

    async with Engine(load_config().model_copy(update=alone)) as engine:
        await engine.loader.load(card.name)
        found: list[npt.NDArray[Any]] = await asyncio.gather(*map(one, texts))
    return np.concatenate(found)
