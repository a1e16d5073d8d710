"""The keys that the recipes of all tasks share."""

import json
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.package import Name
from training.craft.augmentation import Augmentation
from training.craft.metric import ACCURACY, LOSS, Metric
from training.craft.optimiser import Optimiser
from training.craft.schedule import Schedule
from training.craft.stopping import EarlyStopping
from training.craft.table import Count, Fraction, NonEmpty, NonNegative, Share, Table, Whole
from training.craft.transfer import Transfer
from training.errors import RecipeError
from training.recipe_problems import unknown_word


class Clipping(Table):
    """Bounds a step's gradient: each of its values, or its norm, is at most ``at`` (0: no bound)."""

    by: Literal["norm", "value"] = "norm"
    at: NonNegative = 0.0


class AccuracyGate(Table):
    """The least accuracy of a classifier's package."""

    accuracy: Share


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Check that ``config`` can be written as JSON, as checkpoints and cards need."""
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            "values must be finite numbers, strings, true or false, or lists or tables of these"
        ) from error
    return config


class Recipe(Table):
    """One training run. ``name`` is also the package's; ``config`` replaces values of the model's row.

    The run trains on ``dataset``, or on ``examples`` of it if given. A batch has ``batch_size`` examples, or all with
    ``full``. ``ema`` is the decay per step of an average of the weights, which is then validated and exported (0: the
    last weights are). ``keep`` says which epoch's weights are exported: the last, or the best by the metric of early
    stopping. A model without weights to train, such as nearest neighbours, has 0 ``epochs``. ``gate`` has the least
    metrics on the validation split, through the serving engine, without which the package is not exported.

    ``metrics`` are those that the task's learner measures in each epoch: its loss first, and last the one that people
    compare models by. History, early stopping, the best epoch, tuning, curves, gates and the diagnosis read them.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (LOSS, ACCURACY)

    task: str
    name: Name
    model: NonEmpty
    config: Annotated[dict[str, Any], AfterValidator(_plain)] = Field(default_factory=dict)
    dataset: NonEmpty
    examples: Count | None = None
    epochs: Whole
    batch_size: Count | Literal["full"] = 128
    optimiser: Optimiser = Optimiser(name="adamw", learning_rate=1e-3)
    schedule: Schedule = Schedule()
    clipping: Clipping = Clipping()
    augmentation: Augmentation = Augmentation()
    transfer: Transfer | None = None
    early_stopping: EarlyStopping = EarlyStopping()
    keep: Literal["last", "best"] = "last"
    ema: Fraction = 0.0
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    gate: Table | None = None

    @property
    def headline(self) -> Metric:
        """The metric that people compare models by."""
        return self.metrics[-1]

    def metric(self, column: str) -> Metric:
        """The metric whose values on the validation split are in the history's ``column``.

        Raises:
            RecipeError: there is no such column.
        """
        known = {metric.validation: metric for metric in self.metrics}
        if column not in known:
            raise RecipeError(f"recipe {self.name!r}: metric: {unknown_word(column, known)}")
        return known[column]

    @property
    def targets(self) -> dict[str, float]:
        """The value of each metric that the gate requires: the least, or the greatest of one that should be low."""
        return self.gate.model_dump(exclude_none=True) if self.gate else {}

    @property
    def comparable(self) -> bool:
        """Whether training and validation measure the same loss, so that their curve can be diagnosed."""
        return True

    @property
    def handicaps(self) -> tuple[str, ...]:
        """The keys that make the training loss higher than the validation loss, for the same weights and images."""
        return ("augmentation",) if self.augmentation != Augmentation() else ()

    @model_validator(mode="after")
    def _check_metric(self) -> Self:
        known = [metric.validation for metric in self.metrics]
        if self.early_stopping.metric not in known:
            raise ValueError(f"early_stopping.metric: {unknown_word(self.early_stopping.metric, known)}")
        return self

    @model_validator(mode="after")
    def _check_full_batch(self) -> Self:
        if not self.optimiser.full_batch:
            return self
        slow = self.transfer is not None and self.transfer.mode == "slow"
        wanted = {
            'batch_size = "full"': self.batch_size == "full",
            'precision = "32-true"': self.precision == "32-true",
            "no clipping": not self.clipping.at,
            "no slow transfer": not slow,
        }
        for words, given in wanted.items():
            if not given:
                raise ValueError(f"{self.optimiser.name} uses all examples at each step; it requires {words}")
        return self
