"""Evaluating a package of any task: it is served alone, and its metrics are compared with its card's."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from service.config import load_config
from service.engine import Engine
from service.package import Card, Dataset, Package, read_package
from training.data.source import Origin
from training.errors import EvaluationError
from training.intervals import Interval
from training.packages import find_version

S = TypeVar("S", bound=Origin)
Measuring = Literal["validation", "test"]  # a split to measure on


@dataclass(frozen=True)
class Measured:
    """The ``metrics`` of a package on a split, and the 95 % confidence ``intervals`` of those that have one."""

    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a package of ``size`` bytes, measured on the ``count`` test examples of ``dataset``.

    ``said`` has the metrics on its card, None if those are of another data set or there are none. ``tolerances`` has,
    by metric, how far the measured value may differ from the card's.
    """

    card: Card
    dataset: str
    count: int
    size: int
    metrics: Mapping[str, float]
    said: Mapping[str, float] | None
    tolerances: Mapping[str, float]

    def check(self) -> None:
        """Raise EvaluationError if a metric differs from the card's by more than its tolerance."""
        for name, tolerance in self.tolerances.items():
            said = (self.said or {}).get(name)
            if said is not None and abs(said - self.metrics[name]) > tolerance:
                package = f"{self.card.name}/{self.card.version}"
                raise EvaluationError(f"{name} is {self.metrics[name]:.4f}; the card of {package} says {said:.4f}")


def open_package(repository: Path, name: str, version: int | None) -> Package:
    """The package ``name`` in ``repository``, its newest version unless ``version`` is given.

    Raises:
        EvaluationError: there is no such package or version.
        InvalidPackage: the package contradicts itself.
    """
    return read_package(repository / name / str(find_version(repository, name, version)))


def named_source(package: Package, find: Callable[[str], S]) -> tuple[S, Dataset]:
    """The data set that the package's card names, as ``find`` returns it, and the card's description of it.

    Raises:
        EvaluationError: the card names no data set, or its files are not those of the data set.
    """
    card = package.card
    dataset = card.provenance.dataset if card.provenance else None
    if dataset is None:
        raise EvaluationError(f"{card.name}/{card.version}: its card names no data set")
    source = find(dataset.name)
    if dataset.files != dict(source.files):
        raise EvaluationError(
            f"{card.name}/{card.version}: the files of {source.name} on its card differ from the published ones"
        )
    return source, dataset


@asynccontextmanager
async def serving(repository: Path, package: Package) -> AsyncIterator[Engine]:
    """An engine that serves only ``package`` of ``repository``, which may hold many packages and large ones."""
    alone = {"repository": repository, "model_control": "explicit", "load_models": ()}
    async with Engine(load_config().model_copy(update=alone)) as engine:
        await engine.control.load(package.card.name)
        yield engine
