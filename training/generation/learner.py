"""Trains a variational autoencoder on Lightning."""

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from models.generation.vae import VAE
from models.layers.pixels import unit
from training.craft.augmentation import augment
from training.data import Source
from training.generation.recipe import GenerationRecipe
from training.learner import Learner, Meters, Stage
from training.sanity import EXAMPLES, IMAGES, Check, gradients, initial_loss, without_dropout

Batch = tuple[Tensor, Tensor]
# The validation images are made binary, and their latents drawn, in the same way in each epoch.
VALIDATION_SEED = -1


class LossMeters(Meters):
    """The mean loss of an image, exact over unequal batches."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = MeanMetric(nan_strategy="disable")  # a loss that is NaN must not be left out

    def add(self, *batch: Tensor) -> None:
        """Add the losses (B,) of a batch."""
        (losses,) = batch
        self.loss.update(losses.detach())


class VAELearner(Learner):
    """A `VAE`, its recipe, and minus the evidence lower bound (ELBO) of images.

    Batches are uint8 images (B, H, W) or (B, H, W, 3) and labels (B,). For a Bernoulli likelihood, each pixel is drawn
    again for each step: 1 with the probability that its grey value says (dynamic binarisation, Burda et al. 2015).
    """

    model: VAE

    def __init__(self, model: VAE, recipe: GenerationRecipe, source: Source, description: dict[str, Any]) -> None:
        super().__init__(model, recipe, LossMeters, (source.mean, source.std), description)
        self.recipe = recipe

    @property
    def fresh(self) -> Collection[str]:
        """None: no generative network starts from trained weights."""
        return ()

    def losses(self, network: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
        """See `Learner`."""
        assert isinstance(network, VAE)
        return (-self._bound(network, unit(batch[0]), batch[1], 0, 1.0).mean(),)

    def checks(self, some: Callable[[int], Batch]) -> Iterator[Check]:
        """The first loss of binary pixels is near D log 2, and every weight has a gradient."""
        network = without_dropout(self.model)
        if self.model.likelihood == "bernoulli":
            with torch.no_grad():
                measured = float(self.losses(network, some(IMAGES))[0])
            guess = math.prod(self.model.shape) * math.log(2)
            yield initial_loss(
                measured, guess, "D log 2, of D fair pixels", tolerance=guess / 10, advice="the layers start too large"
            )
        yield gradients(network, self.losses(network, some(EXAMPLES)))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of a distorted batch."""
        images, labels = batch
        seed = self.draw()
        losses = -self._bound(
            self.model, augment(unit(images), self.recipe.augmentation, seed), labels, -1 - seed, self.recipe.beta
        )
        return self._measured("train", losses)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure images without distortions."""
        images, labels = batch
        self._measured("validation", -self._bound(self.model, unit(images), labels, VALIDATION_SEED - batch_idx, 1.0))

    def _bound(self, network: VAE, x: Tensor, labels: Tensor, seed: int, beta: float) -> Tensor:
        """The ELBO (B,) of images (B, C, H, W) in 0..1; ``seed`` draws the pixels and the latents."""
        generator = torch.Generator(x.device).manual_seed(seed)
        if network.likelihood == "bernoulli":
            x = torch.bernoulli(x, generator=generator)
        eps = torch.randn(len(x), network.latent, generator=generator, device=x.device)
        return network.elbo(x.contiguous(), eps, labels if network.classes else None, beta)

    def _measured(self, stage: Stage, losses: Tensor) -> Tensor:
        self.measure(stage, losses)
        return losses.mean()
