"""Metrics of masks, from the pixels of each pair of classes (MP 6), and of the classes' boundaries."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.masks import IGNORE
from training.data.split import Bytes

# Of the image's diagonal: how far a boundary may be from the true one (Csurka et al. 2013, section 3).
TOLERANCE = 0.0075

Counts = npt.NDArray[Any]  # whole numbers, or sums of them
Floats = npt.NDArray[np.float64]


def confusion(masks: Bytes, predicted: Bytes, classes: int) -> Counts:
    """Count each image's pixels by their true class (row) and the class they were given (column).

    The counts are (N, classes, classes); ``masks`` and ``predicted`` are (N, H, W). Pixels that are
    `IGNORE` in a mask do not count.
    """
    found: Counts = np.zeros((len(masks), classes, classes), np.int64)
    for counts, mask, guess in zip(found, masks, predicted, strict=True):
        real = mask != IGNORE
        pairs = mask[real].astype(np.int64) * classes + guess[real]
        counts += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    return found


def accuracy(counts: Counts) -> float:
    """The share of pixels that are right, from counts (classes, classes): global accuracy."""
    return float(np.trace(counts) / max(counts.sum(), 1))


def class_accuracy(counts: Counts) -> float:
    """The mean over the classes that occur of the share of their pixels that are right."""
    pixels = counts.sum(1)
    return float((np.diag(counts)[pixels > 0] / pixels[pixels > 0]).mean())


def ious(counts: Counts) -> Floats:
    """Each class's intersection over union, (classes,): NaN for one that neither occurs nor is predicted."""
    union = counts.sum(0) + counts.sum(1) - np.diag(counts)
    found: Floats = np.where(union > 0, np.diag(counts) / np.maximum(union, 1), np.nan)
    return found


def mean_iou(counts: Counts) -> float:
    """The mean of `ious` over the classes that occur or are predicted."""
    return float(np.nanmean(ious(counts)))


def dice(counts: Counts, background: int | None = None) -> Floats:
    """The Dice coefficient of each image, (N,): the mean over its classes of 2 |A and B| / (|A| + |B|).

    ``counts`` are those of `confusion`, (N, classes, classes).

    Only classes that occur in an image or are predicted there count, and not the ``background``; an image without any
    has 1.
    """
    right = np.diagonal(counts, axis1=1, axis2=2)  # (N, classes)
    both = counts.sum(1) + counts.sum(2)
    there = both > 0
    if background is not None:
        there[:, background] = False
    each = np.where(there, 2 * right / np.maximum(both, 1), 0).sum(1)
    return np.where(there.any(1), each / np.maximum(there.sum(1), 1), 1.0)


def boundary_f1(masks: Bytes, predicted: Bytes, classes: int) -> Floats:
    """The boundary F1 of each image, (N,): the mean over its classes (Csurka et al. 2013, BMVC).

    A pixel of a boundary is right if the other mask has one of that class within 0.75 % of the image's diagonal. Only
    classes that occur in an image or are predicted there count.
    """
    scores = []
    for mask, guess in zip(masks, np.where(masks == IGNORE, IGNORE, predicted), strict=True):
        there = np.unique(np.concatenate((mask.reshape(-1), guess.reshape(-1))))
        each = [_boundary_f1(mask == label, guess == label) for label in there if label < classes]
        scores.append(np.mean(each) if each else 1.0)
    return np.array(scores)


def _boundary_f1(region: npt.NDArray[np.bool_], guess: npt.NDArray[np.bool_]) -> float:
    true, found = _boundary(region), _boundary(guess)
    if not true.any() or not found.any():
        return float(true.any() == found.any())
    precision = (found & _near(true)).sum() / found.sum()
    recall = (true & _near(found)).sum() / true.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _boundary(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels of a ``region`` (H, W) beside one that is not of it; the image's edge is no boundary."""
    whole = np.pad(region, 1, mode="edge")
    inner = whole[:-2, 1:-1] & whole[2:, 1:-1] & whole[1:-1, :-2] & whole[1:-1, 2:]
    outline: npt.NDArray[np.bool_] = region & ~inner
    return outline


def _near(pixels: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What is within the tolerance of one of the ``pixels`` (H, W)."""
    height, width = pixels.shape
    reach = TOLERANCE * float(np.hypot(height, width))
    most = int(reach)
    whole = np.pad(pixels, most)
    near = np.zeros_like(pixels)
    for down, right in _disk(reach):
        near |= whole[most + down : most + down + height, most + right : most + right + width]
    return near


@lru_cache(maxsize=16)
def _disk(reach: float) -> tuple[tuple[int, int], ...]:
    """The moves by whole pixels, down and right, of at most ``reach``."""
    steps = range(-int(reach), int(reach) + 1)
    return tuple((down, right) for down in steps for right in steps if down**2 + right**2 <= reach**2)


def draw_confusion(counts: Counts, labels: tuple[str, ...], title: str, path: Path) -> None:
    """Draw counts (classes, classes) as a PNG: of each true class's pixels, the percentages given each class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.2 + 0.42 * len(labels)
    figure = Figure(figsize=(side, side), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    places = range(len(labels))
    axes.set(xticks=places, yticks=places, yticklabels=labels, xlabel="predicted", ylabel="true")
    axes.set_xticklabels(labels, rotation=90)
    axes.set_title(f"{title}\n% of the true class's pixels", fontsize="small")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            colour = "white" if share > 60 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", size="x-small", color=colour)
    figure.savefig(path, metadata={"Software": None})
