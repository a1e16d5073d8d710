"""What evaluating a package means, whatever its task: it is served alone, and what is measured is held to its card."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from service.config import load_config
from service.engine import Engine
from service.package import Card, Dataset, Package, read_package
from training.data.source import Origin
from training.errors import EvaluationError
from training.packages import find_version

S = TypeVar("S", bound=Origin)


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a package of ``size`` bytes on the ``count`` examples of the test split of ``dataset``.

    ``said`` is what its card says of them, None where it speaks of others, or of none. A metric with a tolerance may
    differ from that by so much.
    """

    card: Card
    dataset: str
    count: int
    size: int
    metrics: Mapping[str, float]
    said: Mapping[str, float] | None
    tolerances: Mapping[str, float]

    def check(self) -> None:
        """Raise EvaluationError where a metric is not the card's."""
        for name, tolerance in self.tolerances.items():
            said = (self.said or {}).get(name)
            if said is not None and abs(said - self.metrics[name]) > tolerance:
                raise EvaluationError(
                    f"{name} {self.metrics[name]:.4f}, the card of {self.card.name}/{self.card.version} says {said:.4f}"
                )


def open_package(repository: Path, name: str, version: int | None) -> Package:
    """The package ``name``, its newest version unless given.

    Raises:
        EvaluationError: there is none, or no such version of it.
        InvalidPackage: it contradicts itself.
    """
    return read_package(repository / name / str(find_version(repository, name, version)))


def named_source(package: Package, find: Callable[[str], S]) -> tuple[S, Dataset]:
    """What ``find`` finds by the name of the data set that the package's card names, and what this says of it.

    Raises:
        EvaluationError: the card names none, or other files of it.
    """
    card = package.card
    dataset = card.provenance.dataset if card.provenance else None
    if dataset is None:
        raise EvaluationError(f"{card.name}/{card.version}: its card names no data set")
    source = find(dataset.name)
    if dataset.files != dict(source.files):
        raise EvaluationError(
            f"{card.name}/{card.version}: its card names other files of {source.name} than are published"
        )
    return source, dataset


@asynccontextmanager
async def serving(repository: Path, package: Package) -> AsyncIterator[Engine]:
    """An engine that serves ``package``, in ``repository``, and no other: there may be many, and large ones."""
    alone = {"repository": repository, "model_control": "explicit", "load_models": ()}
    async with Engine(load_config().model_copy(update=alone)) as engine:
        await engine.control.load(package.card.name)
        yield engine
