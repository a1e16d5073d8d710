"""Made curves with one shape each, and real ones."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.classification.rows import build
from tests.training.tiny import Tiny, tiny_recipe
from training.craft.metric import ACCURACY, LOSS, Metric
from training.diagnosis import FEWEST, diagnose, handicaps, smooth
from training.fit import fit
from training.history import Row

EPOCHS = 30


def curve(train: Callable[[int], float], validation: Callable[[int], float], gap: float = 0.0) -> list[Row]:
    """Losses by epoch, from 1, and accuracies that lie ``gap`` apart."""
    return [
        {
            "epoch": epoch,
            "train_loss": train(epoch),
            "validation_loss": validation(epoch),
            "train_accuracy": 0.5 + gap,
            "validation_accuracy": 0.5,
        }
        for epoch in range(1, EPOCHS + 1)
    ]


def names(rows: list[Row], *hindered: str) -> list[str]:
    return [finding.name for finding in diagnose(rows, hindered)]


def falling(to: float, speed: float = 0.5) -> Callable[[int], float]:
    return lambda epoch: to + 2.3 * 2.0 ** (-speed * epoch)


def test_two_curves_that_level_off_together_are_a_good_fit() -> None:
    assert names(curve(falling(0.2), falling(0.23))) == ["good fit"]


def test_losses_that_still_fall_at_the_end_are_under_fitting() -> None:
    rows = curve(falling(0.1, 0.08), falling(0.12, 0.08))
    assert names(rows) == ["under-fitting"]
    assert "in the last 6 epochs the training loss still fell by" in str(diagnose(rows)[0])


def test_a_validation_loss_that_rises_again_is_over_fitting_from_the_epoch_it_was_lowest() -> None:
    rows = curve(falling(0.01), lambda epoch: 0.3 + 0.001 * (epoch - 10) ** 2)
    finding = diagnose(rows)[0]
    assert finding.name == "over-fitting"
    assert "after epoch 10 and rose to" in finding.evidence


def test_a_rise_while_training_gets_worse_too_is_no_over_fitting() -> None:
    bowl = lambda epoch: 0.3 + 0.001 * (epoch - 10) ** 2  # noqa: E731
    assert "over-fitting" not in names(curve(bowl, bowl))


def test_a_large_gap_between_two_good_curves_is_an_unrepresentative_training_split() -> None:
    assert names(curve(falling(0.1), falling(0.5), gap=0.1)) == ["unrepresentative training split"]


def test_a_gap_of_losses_that_costs_no_accuracy_is_none() -> None:
    assert names(curve(falling(0.01), falling(0.03), gap=0.002)) == ["good fit"]


def test_a_validation_loss_below_the_training_loss_is_an_unrepresentative_validation_split() -> None:
    assert names(curve(falling(0.3), falling(0.2))) == ["unrepresentative validation split"]


def test_dropout_explains_a_validation_loss_below_the_training_loss() -> None:
    assert names(curve(falling(0.3), falling(0.2)), "dropout") == ["good fit"]


def test_the_training_loss_is_compared_with_what_the_weights_were_half_an_epoch_before() -> None:
    """A mean over an epoch in which the loss falls is above the loss at its end; that is no easy validation split."""
    at = falling(0.0, 0.3)
    rows = curve(lambda epoch: (at(epoch - 1) + at(epoch)) / 2, at)
    assert "unrepresentative validation split" not in names(rows)


@pytest.mark.parametrize("train", [lambda epoch: 2.3, lambda epoch: 2.3 + 0.1 * epoch], ids=["still", "rising"])
def test_a_training_loss_that_does_not_fall_is_not_learning(train: Callable[[int], float]) -> None:
    assert names(curve(train, falling(2.3))) == ["not learning"]


def test_a_validation_loss_that_stays_while_training_falls_is_not_generalising() -> None:
    assert names(curve(falling(0.1), lambda epoch: 2.3, gap=0.5)) == ["not generalising"]


def test_noise_is_not_taken_for_a_direction() -> None:
    """Up and down by a tenth every epoch: the last epoch is above the lowest by more than 5 %, and that is chance."""
    noisy = lambda epoch: 0.3 * (1.05 if epoch % 2 == 0 else 0.95) + 2.3 * 2.0**-epoch  # noqa: E731
    rows = curve(falling(0.25), noisy)[:16]
    assert names(rows) == ["good fit"]


def test_a_loss_that_may_be_negative_is_not_compared_by_ratios() -> None:
    rows = curve(falling(-2.0), falling(-1.0))
    assert diagnose(rows, (), (Metric("loss", "min"), ACCURACY)) == ()


def test_another_metric_is_read_in_its_own_direction() -> None:
    rows = [
        {**row, "train_error": 0.1, "validation_error": 0.1 + lag}
        for lag in (0.3, -0.3)
        for row in curve(falling(0.1), falling(0.4))
    ]
    metrics = (LOSS, Metric("error", "min"), Metric("cider", "max", trained=False))
    (worse,) = diagnose(rows[:EPOCHS], (), metrics)
    assert worse.name == "unrepresentative training split"
    assert "and error 30.0% higher" in worse.evidence
    assert [found.name for found in diagnose(rows[EPOCHS:], (), metrics)] == ["good fit"]


def test_a_few_epochs_say_nothing() -> None:
    assert names(curve(falling(0.1), falling(0.1))[: FEWEST - 1]) == []


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=FEWEST, max_size=60))
def test_any_curve_has_a_shape_and_each_only_once(losses: list[tuple[float, float]]) -> None:
    rows = curve(lambda _: 0.0, lambda _: 0.0)[:1] * len(losses)
    rows = [
        {**row, "epoch": epoch, "train_loss": train, "validation_loss": validation}
        for epoch, (row, (train, validation)) in enumerate(zip(rows, losses, strict=True), 1)
    ]
    found = names(rows)
    assert found
    assert len(set(found)) == len(found)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100))
def test_smoothing_keeps_the_length_and_the_range(values: list[float]) -> None:
    smoothed = smooth(values)
    assert len(smoothed) == len(values)
    assert min(values) - 1e-6 <= min(smoothed) <= max(smoothed) <= max(values) + 1e-6


def test_smoothing_takes_the_mean_of_a_tenth_and_leaves_short_curves_alone() -> None:
    assert smooth([1.0, 5.0, 3.0]) == [1.0, 5.0, 3.0]
    assert smooth([0.0] * 10 + [3.0] + [0.0] * 9)[8:13] == [0.0, 1.0, 1.0, 1.0, 0.0]


# The first epochs of the run whose package is shipped: 30 epochs on all of Fashion-MNIST.
REAL = Path(__file__).parent.parent / "data" / "fashion-vgg7.csv"


def real() -> list[Row]:
    with REAL.open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_a_real_run_is_under_fitted_half_way_and_well_fitted_at_its_end() -> None:
    assert names(real()[:8], "augmentation") == ["under-fitting"]
    assert names(real(), "augmentation") == ["good fit"]


@pytest.mark.fit
def test_a_network_that_learns_a_few_digits_by_heart_is_found_out(tiny: Tiny, tmp_path: Path) -> None:
    changes = ("epochs=40", "examples=40", "optimiser.learning_rate=0.01", "augmentation={}", "schedule.name=constant")
    done = fit(tiny_recipe(*changes, model="mlp"), tmp_path, tiny.folder)
    assert "unrepresentative training split" in names(done.history)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ((), []),
        (("augmentation.flip=0.5",), ["augmentation"]),
        (("loss.label_smoothing=0.1",), ["label smoothing"]),
        (("loss.name=hinge",), ["the hinge loss"]),
        (("noise.weights=0.1",), ["noise"]),
        (("config.dropout=0.2",), ["dropout"]),
    ],
)
def test_what_makes_training_harder_than_validation_is_named(changes: tuple[str, ...], found: list[str]) -> None:
    recipe = tiny_recipe("augmentation={}", *changes, model="mlp")
    assert handicaps(recipe, build(recipe.model, recipe.config)) == found
