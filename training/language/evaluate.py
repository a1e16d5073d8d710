"""Measures a language recogniser through the serving engine: on everyday sentences, and on those of one document."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.package import Package
from service.tasks.classify_text import text_row
from training.data import find_texts
from training.data.language_texts import HeldOut
from training.data.languages import Texts, excerpts
from training.data.spelling import SPELLINGS
from training.evaluation import Evaluation, Measured, named_source, open_package, serving
from training.intervals import wilson
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
        metrics=measure(repository, package, source.test()).metrics,
        said=said,
        tolerances=dict.fromkeys(said, TOLERANCE),
    )


def measure(repository: Path, package: Package, texts: HeldOut) -> Measured:
    """The share of texts whose language is found, by what the texts are.

    ``accuracy_everyday``, ``accuracy_upper_case`` and ``accuracy_without_accents`` are of the everyday sentences in
    these spellings (`SPELLINGS`); ``accuracy_declaration`` is of the long sentences of one document, and
    ``accuracy_declaration_20`` of pieces of 20 characters of them.
    """
    everyday, declaration = texts.everyday, texts.declaration
    asked = {
        **{name: Texts(tuple(map(spell, everyday.texts)), everyday.labels) for name, spell in SPELLINGS.items()},
        "declaration": declaration,
        f"declaration_{SHORT}": excerpts(declaration, PIECES, (SHORT, SHORT), 0),
    }
    probabilities = ask(repository, package, [text for texts in asked.values() for text in texts.texts])
    right, start = {}, 0
    for name, wanted in asked.items():
        answers = probabilities[start : start + len(wanted)].argmax(1)
        start += len(wanted)
        right[f"accuracy_{name}"] = (int((answers == wanted.labels).sum()), len(wanted))
    return Measured(
        {name: round(count / of, 6) for name, (count, of) in right.items()},
        {name: wilson(count, of) for name, (count, of) in right.items()},
    )


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
