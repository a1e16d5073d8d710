from typing import ClassVar

import pytest

from training.craft.gate import AccuracyGate, Bound, Gate
from training.craft.metric import ACCURACY, Metric


class DensityGate(Gate):
    bounded: ClassVar[tuple[Metric, ...]] = (Metric("nats", "min"), ACCURACY)

    nats: float | None = None
    accuracy: float | None = None


def test_a_bound_has_the_direction_of_its_metric() -> None:
    assert DensityGate(nats=-3.5, accuracy=0.9).bounds == {"nats": Bound(-3.5, "min"), "accuracy": Bound(0.9, "max")}
    assert DensityGate(nats=88).bounds == {"nats": Bound(88, "min")}
    assert AccuracyGate(accuracy=0.98).bounds == {"accuracy": Bound(0.98)}


def test_a_bound_says_what_it_allows() -> None:
    assert [str(bound) for bound in (Bound(0.9855), Bound(-3.5, "min"))] == ["at least 0.9855", "at most -3.5"]
    assert [Bound(-3.5, "min").allows(value) for value in (-3.6, -3.5, -3.4)] == [True, True, False]
    assert [Bound(0.9).allows(value) for value in (0.89, 0.9, 0.91)] == [False, True, True]


def test_a_looser_bound_allows_what_is_worse() -> None:
    assert Bound(0.9).loosened(0.25).value == 0.65
    assert Bound(1.0, "min").loosened(0.25).value == 1.25


def test_a_gate_without_the_metric_of_a_field_cannot_be_written() -> None:
    with pytest.raises(TypeError, match=r"its fields are \['bits'\], its metrics \['accuracy'\]"):

        class Wrong(Gate):
            bounded: ClassVar[tuple[Metric, ...]] = (ACCURACY,)

            bits: float | None = None
