"""Metrics of an epoch: what a run is judged by, and which way is better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Better = Literal["min", "max"]


@dataclass(frozen=True)
class Metric:
    """A metric that a learner measures in every epoch, and whether the least or the greatest value is the ``better``.

    ``ratios`` says that its values are above 0 and are compared by their ratio, as cross-entropies are: it is drawn on
    a logarithmic axis, and a fall is a share of the value. A density's loss, which may be negative, has none.
    ``trained`` says whether it is measured on the training batches, too.
    """

    name: str
    better: Better
    ratios: bool = False
    trained: bool = True

    @property
    def validation(self) -> str:
        """The column of the history that has it on the validation split."""
        return f"validation_{self.name}"

    @property
    def training(self) -> str:
        """The column of the history that has it on the training batches."""
        return f"train_{self.name}"


LOSS = Metric("loss", "min", ratios=True)
ACCURACY = Metric("accuracy", "max")


def columns(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """The columns of a history with ``metrics``: training's, then validation's."""
    metrics = tuple(metrics)
    return (*(m.training for m in metrics if m.trained), *(m.validation for m in metrics))
