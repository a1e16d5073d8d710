"""The toy task, which trains the toy networks; its data are points of the plane."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from models import registry
from models.variant import Row
from service.package import Package
from tests.training.toy_learners import Adversaries, Density, Gaussian, Pair, ToyLearner
from training import tasks
from training.checkpoint import describe
from training.craft.metric import Metric
from training.craft.recipe import Recipe
from training.data.loading import ShuffledBatches
from training.evaluation import Evaluation
from training.recipe import parse_recipe
from training.start import ALONE, Batches, Opened, Start, fresh_model
from training.task import Task
from training.world import World

CENTRE, SPREAD = (0.5, -0.3), 0.02  # so narrow that the points' density is above 1, and its loss below 0
NATS = Metric("loss", "min")


ROWS = {
    name: Row(
        name=name, family=family, config=config, parameters=0, macs=0, title=name, lecture="none", description="a toy"
    )
    for name, family, config in (
        ("toy-pair", Pair, {"width": 8}),
        ("toy-density", Gaussian, {"trained": True}),
        ("toy-solved", Gaussian, {"trained": False}),
    )
}


class ToyRecipe(Recipe):
    """A recipe of the toy task."""

    task: Literal["toy"] = "toy"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """See `Recipe`."""
        if self.model == "toy-pair":
            return Metric("generator_loss", "min"), Metric("discriminator_loss", "min")
        return (NATS,)


@dataclass(frozen=True)
class Plane:
    """Where the points come from."""

    name: str = "plane"
    licence: str = "none"
    homepage: str = "none"

    @property
    def files(self) -> Mapping[str, str]:
        """A file for the card."""
        return {"points": "0" * 64}


def points(count: int, seed: int) -> Tensor:
    """So many points (count, 2) of the distribution."""
    return torch.tensor(CENTRE) + SPREAD * torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))


def batches(rows: Tensor, sampler: Any) -> Batches:
    """The rows as the sampler orders them."""
    return DataLoader(TensorDataset(rows), sampler=sampler, batch_size=None)


@dataclass(frozen=True)
class ToyStart(Start):
    """192 points to learn from and 64 to validate on."""

    def training(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        recipe = self.learner.settings
        assert recipe.batch_size != "full"
        sampler = ShuffledBatches(192, recipe.batch_size, recipe.seed, world.rank, world.size)
        return batches(points(192, 1), sampler)

    def validation(self, world: World = ALONE) -> Batches:
        """See `Start`."""
        return batches(points(64, 2), [list(range(world.rank, 64, world.size))])

    def ordered(self) -> Batches:
        """See `Start`."""
        return batches(points(192, 1), [list(range(100)), list(range(100, 192))])

    def some(self, count: int) -> tuple[Tensor]:
        """See `Start`."""
        return (points(192, 1)[:count],)


class OpenedToy(Opened):
    """A toy recipe."""

    title = "a toy on the plane"

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def start(self, *, resume: bool = False) -> ToyStart:
        """See `Opened`."""
        config = dict(registry.find(self.recipe.model).config)
        model = fresh_model(self.recipe, config)
        kind: Callable[..., ToyLearner] = Adversaries if isinstance(model, Pair) else Density
        said = describe(self.recipe, config, Plane(), {"training": 192, "validation": 64})
        return ToyStart(kind(model, self.recipe, said))


class Toy(Task[ToyRecipe]):
    """The toy task; nothing is exported."""

    recipe = ToyRecipe
    whose = "a toy's"

    def open(self, recipe: ToyRecipe, data: Path | None) -> OpenedToy:
        """See `Task`."""
        return OpenedToy(recipe)

    def export(self, runs: Sequence[Path], repository: Path, data: Path | None, **how: Any) -> Package:
        """Never called."""
        raise AssertionError

    def evaluate(
        self, repository: Path, name: str, version: int | None, data: Path | None, dataset: str | None
    ) -> Evaluation:
        """Never called."""
        raise AssertionError


@contextmanager
def toys() -> Iterator[None]:
    """The toy task and its models are in the tables."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(tasks.TASKS, "toy", Toy())
        for name, row in ROWS.items():
            monkeypatch.setitem(registry.ROWS, name, row)
        yield


def toy_recipe(model: str, **changes: Any) -> Recipe:
    """A recipe of the toy ``model``: three epochs of six batches."""
    values: dict[str, Any] = {"task": "toy", "name": model, "model": model, "dataset": "plane"}
    values |= {"epochs": 0 if model == "toy-solved" else 3, "batch_size": 32}
    if model == "toy-pair":
        values["early_stopping"] = {"metric": "validation_generator_loss"}
    return parse_recipe({**values, **changes}, "a toy")
