"""The keys that the recipes of all tasks share."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.package import Name
from training.craft.augmentation import Augmentation
from training.craft.gate import Bound, Gate
from training.craft.metric import ACCURACY, LOSS, Metric
from training.craft.optimiser import Optimiser
from training.craft.parts import Clipping, Descent, Part
from training.craft.schedule import Schedule
from training.craft.stopping import EarlyStopping
from training.craft.table import Count, Fraction, NonEmpty, Table, Whole, plain
from training.craft.transfer import Transfer
from training.errors import RecipeError
from training.recipe_problems import unknown_word


class Recipe(Table):
    """One training run. ``name`` is also the package's; ``config`` replaces values of the model's row.

    The run trains on ``dataset``, or on ``examples`` of it if given. A batch has ``batch_size`` examples, or all with
    ``full``. ``ema`` is the decay per step of an average of the weights, which is then validated and exported (0: the
    last weights are). ``keep`` says which epoch's weights are exported: the last, or the best by the metric of early
    stopping. A model without weights to train, such as nearest neighbours, has 0 ``epochs``. ``gate`` has bounds of
    metrics on the validation split, through the serving engine, without which the package is not exported. ``parts``
    says what is different for a part of a network whose parts are trained apart.
    """

    task: str
    name: Name
    model: NonEmpty
    config: Annotated[dict[str, Any], AfterValidator(plain)] = Field(default_factory=dict)
    dataset: NonEmpty
    examples: Count | None = None
    epochs: Whole
    batch_size: Count | Literal["full"] = 128
    optimiser: Optimiser = Optimiser(name="adamw", learning_rate=1e-3)
    schedule: Schedule = Schedule()
    clipping: Clipping = Clipping()
    parts: dict[str, Part] = Field(default_factory=dict)
    augmentation: Augmentation = Augmentation()
    transfer: Transfer | None = None
    early_stopping: EarlyStopping = EarlyStopping()
    keep: Literal["last", "best"] = "last"
    ema: Fraction = 0.0
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    gate: Gate | None = None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What the learner measures in each epoch: its loss first, and last the metric that people compare models by.

        History, early stopping, the best epoch, tuning, curves and the diagnosis read them.
        """
        return LOSS, ACCURACY

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
    def targets(self) -> dict[str, Bound]:
        """The bound of each metric that the gate requires."""
        return self.gate.bounds if self.gate else {}

    def descent(self, part: str) -> Descent:
        """How ``part`` is trained: as the recipe says of all, but for what it says of this one."""
        whole = Descent(self.optimiser, self.schedule, self.clipping)
        return whole.changed(self.parts[part], f"parts.{part}") if part in self.parts else whole

    def check_parts(self, parts: Iterable[str]) -> None:
        """Check that the recipe fits a network that is trained in ``parts``, which is empty unless they have names.

        Raises:
            RecipeError: it names a part that there is not, or an optimiser that needs the whole network.
        """
        known = list(parts)
        for name in self.parts:
            if name not in known:
                wrong = unknown_word(name, known) if known else f"{self.model} has no parts that are trained apart"
                raise RecipeError(f"recipe {self.name!r}: parts: {wrong}")
        for name in known:
            if (optimiser := self.descent(name).optimiser).full_batch:
                raise RecipeError(
                    f"recipe {self.name!r}: {optimiser.name} trains a whole network; {self.model} is trained in the "
                    f"parts {', '.join(known)}"
                )

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
    def _check_descents(self) -> Self:
        for name in self.parts:
            self.descent(name)
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
