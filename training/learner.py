"""What training any network on Lightning shares: optimiser, schedule, seeds and the checkpoint's description."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from models.layers.pixels import normalise
from training.craft.optimiser import build_optimizer
from training.craft.recipe import Recipe
from training.craft.schedule import rate
from training.craft.transfer import slow_down
from training.errors import RecipeError
from training.history import History
from training.sanity import EXAMPLES, Check, gradients, without_dropout

WHOLE = ""  # the part that is all of a network whose parts are not trained apart
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

    Raises:
        RecipeError: the recipe's ``epochs`` or ``parts`` do not fit the parts that the network is trained in.
        ValueError: a weight that is trained belongs to no part.
    """

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
        # The last loss of each part that `descend` has moved.
        self.descended: dict[str, Tensor] = {}
        self._moved: str | None = None
        self._check_parts()
        self.automatic_optimization = set(self.parts) <= {WHOLE}

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What is trained, by name, each part with its optimiser and its schedule; it depends on the model alone.

        By default the network is one part, `WHOLE`, which Lightning trains by the loss that ``training_step`` returns.
        Parts with names are trained apart: ``training_step`` calls `descend`. A network without weights to train has no
        part, and `solve` computes it.
        """
        trained = any(weight.requires_grad for weight in self.model.parameters())
        return {WHOLE: self.model} if trained else {}

    def _check_parts(self) -> None:
        recipe, parts = self.settings, self.parts
        if bool(parts) != bool(recipe.epochs):
            allowed = "needs 1 or more" if parts else "has no weights to train, so it must be 0"
            raise RecipeError(f"recipe {recipe.name!r}: epochs is {recipe.epochs}; {recipe.model} {allowed}")
        recipe.check_parts(name for name in parts if name != WHOLE)
        held = {id(weight) for part in parts.values() for weight in part.parameters()}
        for name, weight in self.model.named_parameters():
            if weight.requires_grad and id(weight) not in held:
                raise ValueError(f"{type(self).__name__}: {name} is trained, and in none of the parts {list(parts)}")

    @property
    @abstractmethod
    def fresh(self) -> Collection[str]:
        """The modules that keep new initial weights when the recipe transfers weights."""

    @abstractmethod
    def losses(self, network: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
        """The mean loss of each answer of ``network``, a copy of the model, to ``batch``, without distortions.

        The sanity checks use it, whatever else the recipe adds to the loss. Of parts that are trained apart there is
        one each, whose sum has a gradient for every weight.
        """

    def checks(self, some: Callable[[int], Batch]) -> Iterator[Check]:
        """The sanity checks before training, on ``some`` examples of a count: every trained weight has a gradient."""
        network = without_dropout(self.model)
        yield gradients(network, self.losses(network, some(EXAMPLES)))

    def solve(self, batches: Iterable[Batch]) -> None:
        """Compute the weights of a network that has no part from ``batches``, the training split in its own order.

        Raises:
            RecipeError: the network cannot be solved, or not from so many examples.
        """
        recipe = self.settings
        raise RecipeError(f"recipe {recipe.name!r}: {recipe.model} has no weights to train, and nothing to solve for")

    def configure_optimizers(self) -> list[OptimizerLRSchedulerConfig]:
        """An optimiser for each part; its schedule sets the learning rate at every step."""
        return [self._descent(name, part) for name, part in self.parts.items()]

    def _descent(self, name: str, part: nn.Module) -> OptimizerLRSchedulerConfig:
        how, transfer = self.settings.descent(name), self.settings.transfer
        optimizer = build_optimizer(part, how.optimiser)
        if transfer and transfer.mode == "slow":
            slow_down(optimizer, self.model, self.fresh, transfer.factor)
        steps = int(self.trainer.estimated_stepping_batches)
        epochs, loss = self.settings.epochs, self.settings.metrics[0].validation

        def share(step: int) -> float:
            rows = self.history.rows if self.history else []
            return rate(how.schedule, step / steps * epochs, epochs, [row[loss] for row in rows])

        scheduler = LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def optimisers(self) -> dict[str, Optimizer]:
        """The optimiser of each part, once the run has begun."""
        return dict(zip(self.parts, self.trainer.optimizers, strict=True))

    def descend(self, part: str, loss: Tensor) -> None:
        """Move the weights of the ``part`` a step down ``loss``, a scalar, clipped as the recipe says.

        A training step may call it for each part as often as the method asks; the schedules go on once a batch.
        """
        place = list(self.parts).index(part)
        found = self.optimizers()
        optimizer = found[place] if isinstance(found, list) else found
        optimizer.zero_grad()
        # Other parts need no gradients; several processes exchange those of all that the loss depends on.
        alone = self.trainer.world_size == 1
        weights = [weight for weight in self.parts[part].parameters() if weight.requires_grad]
        self.manual_backward(loss, inputs=weights if alone else None)
        self.descended[part] = loss.detach()
        self._moved = part
        optimizer.step()
        self._moved = None

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradients of the part that `descend` moves; Lightning clips those of a whole network."""
        if self._moved is not None:
            how = self.settings.descent(self._moved).clipping
            self.clip_gradients(optimizer, how.at, how.by)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Forget the losses of the batch before."""
        self.descended.clear()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Move on the schedules, unless Lightning does."""
        if not self.automatic_optimization:
            found = self.lr_schedulers()
            for scheduler in found if isinstance(found, list) else [found]:
                assert isinstance(scheduler, LRScheduler)
                scheduler.step()

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
        if self._trainer is None:  # a solved network is measured outside of a run of Lightning's
            return
        self.log_dict(values, on_step=False, on_epoch=True, prog_bar=True, logger=False)
