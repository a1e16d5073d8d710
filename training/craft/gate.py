"""Gates: what a package must reach on the validation split, or it is not exported."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from training.craft.metric import ACCURACY, Better, Metric
from training.craft.table import Share, Table


@dataclass(frozen=True)
class Bound:
    """The least value that a metric may have if the greater is the ``better``, and else the greatest."""

    value: float
    better: Better = "max"

    def allows(self, measured: float) -> bool:
        """Whether a metric may be ``measured`` so; NaN never may."""
        return measured >= self.value if self.better == "max" else measured <= self.value

    def loosened(self, by: float) -> "Bound":
        """The bound of a package whose metric may be worse ``by`` so much."""
        return replace(self, value=self.value - by if self.better == "max" else self.value + by)

    @property
    def sign(self) -> str:
        """The relation of a metric that is allowed to the value."""
        return ">=" if self.better == "max" else "<="

    def __str__(self) -> str:
        return f"at {'least' if self.better == 'max' else 'most'} {self.value:.4g}"


class Gate(Table):
    """The bounds of metrics on the validation split, through the serving engine; None: no bound.

    A subclass has a field for each metric, and ``bounded`` has these metrics, which say whether a field is the least
    value or the greatest.
    """

    bounded: ClassVar[tuple[Metric, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Raise TypeError unless every field has its metric: without one, its direction would be a guess."""
        super().__pydantic_init_subclass__(**kwargs)
        known = {metric.name for metric in cls.bounded}
        if known != set(cls.model_fields):
            raise TypeError(f"{cls.__name__}: its fields are {sorted(cls.model_fields)}, its metrics {sorted(known)}")

    @property
    def bounds(self) -> dict[str, Bound]:
        """The bound of each metric that has one."""
        values = self.model_dump(exclude_none=True)
        return {
            metric.name: Bound(values[metric.name], metric.better) for metric in self.bounded if metric.name in values
        }


class AccuracyGate(Gate):
    """The least accuracy of a classifier's package."""

    bounded: ClassVar[tuple[Metric, ...]] = (ACCURACY,)

    accuracy: Share
