import pytest

from training.craft.gate import Bound
from training.errors import ExportError
from training.packages import check_gate


def test_a_gate_is_a_least_value_or_a_greatest_one_where_low_is_better() -> None:
    wanted = {"accuracy": Bound(0.9, "max"), "bits_per_dim": Bound(3.5, "min")}
    check_gate(wanted, {"accuracy": 0.9, "bits_per_dim": 3.5})
    with pytest.raises(ExportError) as missed:
        check_gate(wanted, {"accuracy": 0.89, "bits_per_dim": 3.6})
    assert str(missed.value) == (
        "gate, on the validation split: accuracy is 0.8900; at least 0.9 is required; "
        "bits_per_dim is 3.6000; at most 3.5 is required"
    )


def test_a_metric_that_is_no_number_misses_every_gate() -> None:
    for bound in (Bound(1.0, "max"), Bound(1.0, "min")):
        with pytest.raises(ExportError, match="loss is nan"):
            check_gate({"loss": bound}, {"loss": float("nan")})


def test_a_metric_that_was_not_measured_misses_its_gate() -> None:
    with pytest.raises(ExportError, match="nats was not measured; at most 88 is required"):
        check_gate({"nats": Bound(88, "min")}, {"accuracy": 1.0})
