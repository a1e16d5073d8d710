"""Toy networks on points of the plane, and their learners: a pair, and a density that is descended or solved."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torchmetrics import MeanMetric

from training.craft.recipe import Recipe
from training.learner import Learner, Meters


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
