from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from torchmetrics.functional.classification import multiclass_calibration_error

from training.classification.calibration import (
    as_logits,
    choose_temperature,
    draw_reliability,
    fit_temperature,
    reliability,
    without_temperature,
)
from training.data import Labels
from training.errors import TrainingError

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def drawn(seed: int, temperature: float, images: int = 2000, classes: int = 5) -> tuple[Array, Labels]:
    """Logits, and labels drawn by what they say once divided by ``temperature``."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(images, classes)) * 3
    chances = softmax(logits / temperature).cumsum(1)
    return logits, np.minimum((generator.random((images, 1)) > chances).sum(1), classes - 1)


@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 300), bins=st.integers(1, 30))
def test_the_calibration_error_is_torchmetrics(seed: int, images: int, bins: int) -> None:
    logits, labels = drawn(seed, 2.0, images)
    probabilities = softmax(logits).astype(np.float32)
    # The edge itself may fall to either side, by the last bit of float32.
    places = probabilities.max(1).astype(np.float64) * bins
    assume(np.abs(places - places.round()).min() > 1e-5)
    wanted = multiclass_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), 5, bins)
    assert reliability(probabilities, labels, bins).error == pytest.approx(float(wanted), abs=1e-5)


def test_the_calibration_error_of_a_case_counted_by_hand() -> None:
    # Two at 0.9, one of them right; two at 0.6, both right: (2 * |0.5 - 0.9| + 2 * |1 - 0.6|) / 4.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.6, 0.4]])
    found = reliability(probabilities, np.array([0, 1, 1, 0]))
    assert found.error == pytest.approx(0.4)
    assert found.share.sum() == 1
    assert found.share.max() == 0.5


def test_certainty_is_in_the_last_bin() -> None:
    found = reliability(np.array([[1.0, 0.0]]), np.array([0]))
    assert found.share[-1] == found.accuracy[-1] == found.confidence[-1] == 1
    assert found.error == 0


@pytest.mark.parametrize("temperature", [0.25, 0.8, 1.0, 2.5, 8.0])
def test_the_temperature_by_which_the_labels_were_drawn_is_found_again(temperature: float) -> None:
    logits, labels = drawn(1, temperature, 20_000)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 4))
def test_no_neighbouring_temperature_is_likelier(seed: int, temperature: float) -> None:
    logits, labels = drawn(seed, temperature, 500)
    found = fit_temperature(logits, labels)

    def loss(value: float) -> float:
        return float(-np.log(softmax(logits / value)[np.arange(500), labels]).mean())

    assert loss(found) <= min(loss(found * 1.01), loss(found / 1.01))


@pytest.mark.parametrize("temperature", [0.8, 1.3])
def test_a_temperature_that_certainly_helps_is_chosen(temperature: float) -> None:
    logits, labels = drawn(1, temperature, 5_000)
    assert choose_temperature(logits, labels) == round(fit_temperature(logits, labels), 6) != 1


def test_a_temperature_that_chance_explains_is_left_out() -> None:
    chosen = [choose_temperature(*drawn(seed, 1.0, 500)) for seed in range(100)]
    # The test is wrong once in a hundred times.
    assert 95 <= chosen.count(1.0) <= 100
    # Though the fitted one is lower in cross-entropy on its own images, always.
    assert fit_temperature(*drawn(0, 1.0, 500)) != 1


def test_the_logits_of_probabilities_give_them_back() -> None:
    logits, labels = drawn(5, 1.5)
    np.testing.assert_allclose(softmax(as_logits(softmax(logits))), softmax(logits))
    assert choose_temperature(as_logits(softmax(logits)), labels) == choose_temperature(logits, labels)


def test_logits_far_from_zero_do_not_overflow() -> None:
    logits, labels = drawn(2, 2.0)
    assert fit_temperature(logits + 1e4, labels) == pytest.approx(fit_temperature(logits, labels))


@pytest.mark.parametrize("right", [True, False])
def test_images_that_are_all_right_or_all_wrong_have_no_best_temperature(right: bool) -> None:
    logits, _ = drawn(3, 1.0, 20)
    labels = logits.argmax(1) if right else logits.argmin(1)
    with pytest.raises(TrainingError, match=r"no temperature from 0\.05 to 20\.0 is best for the 20 validation images"):
        fit_temperature(logits, labels)


@given(seed=st.integers(0, 1000), temperature=st.floats(0.3, 5))
def test_a_temperature_can_be_taken_back(seed: int, temperature: float) -> None:
    logits, _ = drawn(seed, 1.0, 50)
    found = without_temperature(softmax(logits / temperature), temperature)
    np.testing.assert_allclose(found, softmax(logits), atol=1e-9)


def test_a_probability_that_has_underflowed_stays_a_number() -> None:
    found = without_temperature(np.array([[1.0, 0.0]], np.float32), 3.0)
    np.testing.assert_allclose(found, [[1.0, 0.0]], atol=1e-9)


def test_the_diagram_is_a_picture_that_differs_with_the_error(tmp_path: Path) -> None:
    logits, labels = drawn(4, 3.0)
    for name, scores in (("sure.png", logits), ("fair.png", logits / 3)):
        draw_reliability(reliability(softmax(scores), labels), "A title", tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (320, 320)
    assert (tmp_path / "sure.png").read_bytes() != (tmp_path / "fair.png").read_bytes()
