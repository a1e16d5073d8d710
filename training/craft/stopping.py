"""Early stopping: ends training when it no longer helps (I2DL VIII.2)."""

from typing import Literal

from lightning.pytorch.callbacks import EarlyStopping as Callback

from training.craft.table import NonNegative, Table, Whole

Metric = Literal["validation_loss", "validation_accuracy"]
MODES: dict[Metric, Literal["min", "max"]] = {"validation_loss": "min", "validation_accuracy": "max"}


class EarlyStopping(Table):
    """Stop when ``metric`` has not improved by more than ``min_delta`` for ``patience`` epochs (0: never stop).

    ``metric`` also decides which epoch is the best.
    """

    patience: Whole = 0
    metric: Metric = "validation_loss"
    min_delta: NonNegative = 0.0


class Stopper(Callback):
    """Ends the run as ``how`` says, and records in the checkpoint, under the key ``Stopper``, whether it has."""

    def __init__(self, how: EarlyStopping) -> None:
        super().__init__(how.metric, how.min_delta, how.patience, mode=MODES[how.metric])

    @property
    def state_key(self) -> str:
        """The key in the checkpoint, the same for every metric."""
        return type(self).__name__


def has_stopped(callbacks: dict[str, dict[str, object]]) -> bool:
    """Whether the run whose checkpoint has the state ``callbacks`` was stopped early."""
    return bool(callbacks.get(Stopper.__name__, {}).get("stopping_reason", 0))
