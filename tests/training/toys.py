"""A toy task on points of the plane: a pair of networks, a density that is descended, and one that is solved."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

from models import registry
from models.variant import Row
from service.package import Package
from training import tasks
from training.checkpoint import describe
from training.craft.metric import Metric
from training.craft.recipe import Recipe
from training.data.loading import ShuffledBatches
from training.evaluation import Evaluation
from training.learner import Learner, Meters
from training.recipe import parse_recipe
from training.start import ALONE, Batches, Opened, Start, fresh_model
from training.task import Task
from training.world import World

CENTRE, SPREAD = (0.5, -0.3), 0.02  # so narrow that the points' density is above 1, and its loss below 0
NATS = Metric("loss", "min")


class Pair(nn.Module):
    """A generator of points from noise, and a discriminator of points."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))
        self.discriminator = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))


class Gaussian(nn.Module):
    """A round Gaussian; as buffers, its mean and the logarithm of its deviation are not descended."""

    def __init__(self, trained: bool = True) -> None:
        super().__init__()
        self.mean: Tensor
        self.log_deviation: Tensor
        for name, start in (("mean", torch.zeros(2)), ("log_deviation", torch.zeros(()))):
            if trained:
                self.register_parameter(name, nn.Parameter(start))
            else:
                self.register_buffer(name, start)

    def forward(self, points: Tensor) -> Tensor:
        """The mean negative log-density () of points (B, 2), in nats."""
        scaled = (points - self.mean) / self.log_deviation.exp()
        return (scaled.square().sum(1) / 2).mean() + 2 * self.log_deviation + math.log(2 * math.pi)


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


class ToyMeters(Meters):
    """The mean of each loss."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, MeanMetric())

    def add(self, *batch: Tensor) -> None:
        """Add the losses of a batch."""
        for meter, value in zip(self.children(), batch, strict=True):
            assert isinstance(meter, MeanMetric)
            meter.update(value.detach())


class ToyLearner(Learner):
    """What the toys share; batches are points (B, 2)."""

    fresh = ()

    def __init__(self, model: nn.Module, recipe: Recipe, description: Mapping[str, Any]) -> None:
        names = [metric.name for metric in recipe.metrics]
        super().__init__(model, recipe, lambda: ToyMeters(names), ((), ()), description)

    def validation_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        """Measure the losses."""
        torch.manual_seed(batch_idx)
        self.measure("validation", *self.losses(self.model, batch))


class Adversaries(ToyLearner):
    """A generator and a discriminator, each with its own loss (Goodfellow et al. 2014, non-saturating)."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """See `Learner`."""
        assert isinstance(self.model, Pair)
        return {"generator": self.model.generator, "discriminator": self.model.discriminator}

    def losses(self, network: nn.Module, batch: tuple[Tensor]) -> tuple[Tensor, ...]:
        """The generator's and the discriminator's."""
        assert isinstance(network, Pair)
        made = network.generator(torch.randn_like(batch[0]))
        return self.of_generator(network, made), self.of_discriminator(network, batch[0], made)

    def of_generator(self, network: Pair, made: Tensor) -> Tensor:
        """How far the discriminator is from taking what was made for real."""
        value: Tensor = softplus(-network.discriminator(made)).mean()
        return value

    def of_discriminator(self, network: Pair, real: Tensor, made: Tensor) -> Tensor:
        """The cross-entropy of real and made points; the generator is left alone."""
        value: Tensor = softplus(-network.discriminator(real)).mean()
        return value + softplus(network.discriminator(made.detach())).mean()

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        """A step of the discriminator, then one of the generator."""
        assert isinstance(self.model, Pair)
        torch.manual_seed(self.draw())
        made = self.model.generator(torch.randn_like(batch[0]))
        judged = self.of_discriminator(self.model, batch[0], made)
        self.descend("discriminator", judged)
        fooled = self.of_generator(self.model, made)
        self.descend("generator", fooled)
        self.measure("train", fooled, judged)


class Density(ToyLearner):
    """A density, descended if its weights are trained, else solved."""

    def losses(self, network: nn.Module, batch: tuple[Tensor]) -> tuple[Tensor, ...]:
        """The mean negative log-density, in nats."""
        return (network(batch[0]),)

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        (value,) = self.losses(self.model, batch)
        self.measure("train", value)
        return value

    def solve(self, batches: Iterable[tuple[Tensor]]) -> None:
        """The most likely mean and deviation."""
        assert isinstance(self.model, Gaussian)
        points = torch.cat([points for (points,) in batches])
        self.model.mean.copy_(points.mean(0))
        self.model.log_deviation.copy_((points - points.mean(0)).square().mean().sqrt().log())


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
