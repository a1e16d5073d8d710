import pytest

from training.craft.metric import Better
from training.errors import ExportError
from training.packages import check_gate


def test_a_gate_is_a_least_value_or_a_greatest_one_where_low_is_better() -> None:
    wanted: dict[str, float] = {"accuracy": 0.9, "bits_per_dim": 3.5}
    better: dict[str, Better] = {"bits_per_dim": "min"}
    check_gate(wanted, {"accuracy": 0.9, "bits_per_dim": 3.5}, better)
    with pytest.raises(ExportError) as missed:
        check_gate(wanted, {"accuracy": 0.89, "bits_per_dim": 3.6}, better)
    assert str(missed.value) == (
        "gate, on the validation split: accuracy is 0.8900; at least 0.9 is required; "
        "bits_per_dim is 3.6000; at most 3.5 is required"
    )


def test_a_metric_that_is_no_number_misses_every_gate() -> None:
    directions: list[dict[str, Better]] = [{}, {"loss": "min"}]
    for better in directions:
        with pytest.raises(ExportError, match="loss is nan"):
            check_gate({"loss": 1.0}, {"loss": float("nan")}, better)
