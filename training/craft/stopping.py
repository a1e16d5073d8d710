"""Early stopping: ends training when it no longer helps (I2DL VIII.2)."""

from lightning.pytorch.callbacks import EarlyStopping as Callback

from training.craft.metric import LOSS, Better
from training.craft.table import NonEmpty, NonNegative, Table, Whole


class EarlyStopping(Table):
    """Stop when ``metric`` has not improved by more than ``min_delta`` for ``patience`` epochs (0: never stop).

    ``metric`` is one of the recipe's, on the validation split; it also decides which epoch is the best.
    """

    patience: Whole = 0
    metric: NonEmpty = LOSS.validation
    min_delta: NonNegative = 0.0


class Stopper(Callback):
    """Ends the run as ``how`` says, by a metric whose ``better`` value is the least or the greatest.

    The checkpoint records, under the key ``Stopper``, whether it has ended.
    """

    def __init__(self, how: EarlyStopping, better: Better) -> None:
        super().__init__(how.metric, how.min_delta, how.patience, mode=better)

    @property
    def state_key(self) -> str:
        """The key in the checkpoint, the same for every metric."""
        return type(self).__name__


def has_stopped(callbacks: dict[str, dict[str, object]]) -> bool:
    """Whether the run whose checkpoint has the state ``callbacks`` was stopped early."""
    return bool(callbacks.get(Stopper.__name__, {}).get("stopping_reason", 0))
