"""What training any network on Lightning shares: optimiser, schedule, seeds and the checkpoint's description."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from models.layers.pixels import normalise
from training.craft.optimiser import build_optimizer
from training.craft.recipe import Recipe
from training.craft.schedule import rate
from training.craft.transfer import slow_down
from training.history import History

DESCRIPTION, INITIAL_WEIGHTS = "lectorium", "initial_weights"
# More than the steps of any run, so that no step has the same seed in two runs whose recipes' seeds differ.
SEED_STRIDE = 1 << 31
# More than the steps of any run of several processes, so that no two of its processes share the seed of a step.
RANK_STRIDE = 1 << 23

Stage = Literal["train", "validation"]
Batch = Any  # defined by the task; its inputs come first


class Meters(nn.Module, ABC):
    """A torchmetrics meter for each of a recipe's metrics that is measured in a stage, under the metric's name."""

    @abstractmethod
    def add(self, *batch: Tensor) -> None:
        """Add what the learner measured of a batch."""


class Learner(pl.LightningModule):
    """A network, its recipe and the ``description`` in its checkpoints.

    ``meters`` makes the meters of the recipe's metrics; ``pixels`` are the mean and deviation of the training pixels.
    ``over_fitted`` is the share of a guess's loss that the sanity check expects a few examples to come to.
    """

    over_fitted: ClassVar[float] = 0.1

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        meters: Callable[[], Meters],
        pixels: tuple[tuple[float, ...], tuple[float, ...]],
        description: Mapping[str, Any],
    ) -> None:
        super().__init__()
        # The memory format in which convolutions are fastest on most devices; other layers only see other strides.
        self.model: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.description = recipe, dict(description)
        self.pixel_mean, self.pixel_std = pixels
        # `fit` sets it; a plateau schedule reads the validation losses from it.
        self.history: History | None = None
        self.training_meters: Meters = meters()
        self.validation_meters: Meters = meters()

    @property
    @abstractmethod
    def fresh(self) -> Collection[str]:
        """The modules that keep new initial weights when the recipe transfers weights."""

    @abstractmethod
    def losses(self, network: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
        """The mean loss of each answer of ``network``, a copy of the model, to ``batch``, without distortions.

        The sanity checks use it, whatever else the recipe adds to the loss.
        """

    @property
    def guess(self) -> float | None:
        """The loss of a network that guesses; None if it is not known, and nothing can be checked by it."""
        return None

    @property
    def starts_trained(self) -> bool:
        """Whether the layers that score the classes, too, start from trained weights."""
        return self.settings.transfer is not None and not self.fresh

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser; its schedule sets the learning rate at every step."""
        optimizer = build_optimizer(self.model, self.settings.optimiser)
        transfer = self.settings.transfer
        if transfer and transfer.mode == "slow":
            slow_down(optimizer, self.model, self.fresh, transfer.factor)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule, epochs, loss = self.settings.schedule, self.settings.epochs, self.settings.metrics[0].validation

        def share(step: int) -> float:
            rows = self.history.rows if self.history else []
            return rate(schedule, step / steps * epochs, epochs, [row[loss] for row in rows])

        scheduler = LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description: plain strings, numbers and lists, so ``weights_only=True`` reads them."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        checkpoint[DESCRIPTION] = {**self.description, "created": now}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the record of the initial weights: a resumed run does not read them again."""
        self.description[INITIAL_WEIGHTS] = checkpoint[DESCRIPTION].get(INITIAL_WEIGHTS)

    def draw(self) -> int:
        """The seed of this step's random draws; it depends on the recipe's seed, the step and the process alone.

        A resumed run therefore equals an uninterrupted one.
        """
        return self.settings.seed * SEED_STRIDE + self.global_rank * RANK_STRIDE + self.global_step

    def normalised(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in 0..1, normalised for the network."""
        images = normalise(images, self.pixel_mean, self.pixel_std)
        return images.contiguous(memory_format=torch.channels_last)

    def measure(self, stage: Stage, *batch: Tensor) -> None:
        """Add a ``batch``, as the `Meters` take it, to the epoch's metrics of the ``stage``."""
        training = stage == "train"
        meters = self.training_meters if training else self.validation_meters
        meters.add(*batch)
        measured = [metric for metric in self.settings.metrics if metric.trained or not training]
        values = {
            metric.training if training else metric.validation: getattr(meters, metric.name) for metric in measured
        }
        self.log_dict(values, on_step=False, on_epoch=True, prog_bar=True, logger=False)
