"""The calibration of a classifier's probabilities, and the temperature that improves it (arXiv:1706.04599)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data import Labels
from training.errors import TrainingError

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
CERTAIN = 2.576  # standard errors: 99 % of a normal distribution is within
STEPS = 60  # halvings of that range: to the precision of a double
FLOOR = 1e-38  # avoids the logarithm of a probability that has underflowed to 0

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Reliability:
    """Images by the probability of their first label, in bins of equal width.

    Each bin has the ``share`` of all images, their mean ``confidence`` and their ``accuracy``; both are 0 in an empty
    bin.
    """

    share: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: sum over the bins of share |accuracy - confidence|."""
        return float((self.share * np.abs(self.accuracy - self.confidence)).sum())


def reliability(probabilities: Floats, labels: Labels, bins: int = BINS) -> Reliability:
    """The reliability of ``probabilities`` (N, classes) for images of the classes ``labels`` (N,)."""
    confidence = probabilities.max(1).astype(np.float64)  # (N,)
    right = probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    return Reliability(
        counts / len(labels),
        np.bincount(place, confidence, bins) / filled,
        np.bincount(place, right, bins) / filled,
    )


def choose_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature of `fit_temperature` if it helps, else 1; it helps if it certainly lowers the cross-entropy.

    The fitted one always lowers that of the examples it is fitted on, be it by chance. So the derivative of the
    cross-entropy at T = 1, a mean over the examples, must be further from 0 than chance explains: by more than 2.6 of
    its standard errors, which chance alone exceeds once in a hundred times.

    Raises:
        TrainingError: as `fit_temperature`.
    """
    slopes = _slopes(_scores(logits), labels)  # (N,)
    error = slopes.std() / np.sqrt(len(slopes))
    return round(fit_temperature(logits, labels), 6) if abs(slopes.mean()) > CERTAIN * error else 1.0


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The T with the lowest cross-entropy of softmax(logits / T), (N, classes); its derivative has at most one zero.

    Raises:
        TrainingError: it is not within 0.05 to 20, for example if every image is classified right.
    """
    scores = _scores(logits)

    def slope(temperature: float) -> float:
        return float(_slopes(scores, labels, temperature).mean())

    if not slope(HOTTEST) < 0 < slope(COLDEST):
        raise TrainingError(
            f"no temperature from {COLDEST} to {HOTTEST} is best for the {len(labels)} validation images: they are too "
            "few, or all classified right or all wrong; export with --no-temperature"
        )
    cold, hot = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(STEPS):
        middle = (cold + hot) / 2
        cold, hot = (middle, hot) if slope(np.exp(middle)) > 0 else (cold, middle)
    return float(np.exp(hot))


def _scores(logits: Floats) -> npt.NDArray[np.float64]:
    """The logits (N, classes), the largest of each row 0: their softmax is the same."""
    scores: npt.NDArray[np.float64] = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return scores


def _slopes(scores: npt.NDArray[np.float64], labels: Labels, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """The derivative of each example's cross-entropy by 1 / T (N,), whose mean grows with 1 / T."""
    weights = np.exp(scores / temperature)  # (N, classes)
    expected = (weights * scores).sum(1) / weights.sum(1)
    slopes: npt.NDArray[np.float64] = expected - scores[np.arange(len(labels)), labels]
    return slopes


def as_logits(probabilities: Floats) -> npt.NDArray[np.float64]:
    """Logits (N, classes) whose softmax are the ``probabilities``, as of a graph that has no other output."""
    return np.log(np.maximum(probabilities, FLOOR, dtype=np.float64))


def without_temperature(probabilities: Floats, temperature: float) -> Floats:
    """The ``probabilities`` (N, classes) with the division by ``temperature`` undone: p^T, normalised."""
    scores = temperature * as_logits(probabilities)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    found: Floats = weights / weights.sum(1, keepdims=True)
    return found


def draw_reliability(found: Reliability, title: str, path: Path) -> None:
    """Draw the reliability diagram as a PNG: accuracy over confidence, and the share of images in each bin."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = (np.arange(len(found.share)) + 0.5) / len(found.share)
    width = 0.9 / len(found.share)
    above.plot((0, 1), (0, 1), color="grey", linewidth=1)
    above.bar(edges, found.accuracy, width)
    above.set(title=f"{title}\nexpected calibration error {found.error:.2%}", ylabel="accuracy", ylim=(0, 1))
    below.bar(edges, found.share, width)
    below.set(xlabel="confidence", ylabel="share", xlim=(0, 1))
    figure.savefig(path, metadata={"Software": None})
