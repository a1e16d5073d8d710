"""The calibration of a classifier's probabilities, and the temperature that improves it (arXiv:1706.04599)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data import Labels
from training.errors import TrainingError

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
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


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The T with the lowest cross-entropy of softmax(logits / T), (N, classes); its derivative has at most one zero.

    Raises:
        TrainingError: it is not within 0.05 to 20, for example if every image is classified right.
    """
    scores = logits.astype(np.float64) - logits.max(1, keepdims=True)  # (N, classes)
    wanted = scores[np.arange(len(labels)), labels].mean()

    def slope(temperature: float) -> float:
        """The derivative of the cross-entropy by 1 / T, which grows with 1 / T."""
        weights = np.exp(scores / temperature)
        return float(((weights * scores).sum(1) / weights.sum(1)).mean() - wanted)

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


def without_temperature(probabilities: Floats, temperature: float) -> Floats:
    """The ``probabilities`` (N, classes) with the division by ``temperature`` undone: p^T, normalised."""
    scores = temperature * np.log(np.maximum(probabilities, FLOOR, dtype=np.float64))
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
