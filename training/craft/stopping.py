"""Early stopping: an end to training when it no longer helps (I2DL VIII.2)."""

from typing import Literal

from lightning.pytorch.callbacks import EarlyStopping as Callback

from training.craft.table import NonNegative, Table, Whole

Metric = Literal["validation_loss", "validation_accuracy"]
MODES: dict[Metric, Literal["min", "max"]] = {"validation_loss": "min", "validation_accuracy": "max"}


class EarlyStopping(Table):
    """Stop when ``metric`` has not got better by more than ``min_delta`` for ``patience`` epochs (0: never stop).

    ``metric`` is also by which the best epoch is chosen.
    """

    patience: Whole = 0
    metric: Metric = "validation_loss"
    min_delta: NonNegative = 0.0


class Stopper(Callback):
    """Ends the run as ``how`` says. Says in the checkpoint whether it has, under the key ``Stopper``."""

    def __init__(self, how: EarlyStopping) -> None:
        super().__init__(how.metric, how.min_delta, how.patience, mode=MODES[how.metric])

    @property
    def state_key(self) -> str:
        """The same for every metric."""
        return type(self).__name__


def has_stopped(callbacks: dict[str, dict[str, object]]) -> bool:
    """Whether the run whose checkpoint says ``callbacks`` was stopped early."""
    return bool(callbacks.get(Stopper.__name__, {}).get("stopping_reason", 0))
