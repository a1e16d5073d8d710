"""The classes of splits, and whether the splits are alike (I2DL VI: an unrepresentative split)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch

from training.data.split import Split

# Both must hold: with many examples the smallest difference is significant, with few a large one may be chance.
SIGNIFICANT = 0.001
NOTABLE = 0.1  # Cramer's V; 0.1 is called a small effect (Cohen 1988)


@dataclass(frozen=True)
class Summary:
    """A comparison of two or more splits.

    ``counts`` are the examples of each label in each split. ``chi_square`` with ``degrees`` of freedom tests whether
    the labels' proportions are the same in all; ``p_value`` is the probability of at least this difference if they are,
    and ``cramers_v``, 0 to 1, is its size. ``shared`` counts the images of the later splits that are also in the first.
    """

    labels: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    chi_square: float
    degrees: int
    p_value: float
    cramers_v: float
    shared: int

    @property
    def unrepresentative(self) -> bool:
        """Whether the labels' proportions differ by more than chance explains, and by enough to matter."""
        return self.p_value < SIGNIFICANT and self.cramers_v > NOTABLE

    @property
    def missing(self) -> dict[str, list[str]]:
        """The labels that a split has no example of, for each split that lacks some."""
        found = {
            name: [label for label, count in zip(self.labels, counts, strict=True) if not count]
            for name, counts in self.counts.items()
        }
        return {name: labels for name, labels in found.items() if labels}

    def words(self) -> list[str]:
        """The comparison as sentences: sizes first, then problems."""
        return list(self._sentences())

    def _sentences(self) -> Iterator[str]:
        sizes = ", ".join(f"{sum(counts)} {name}" for name, counts in self.counts.items())
        yield f"{sizes} images of {len(self.labels)} classes"
        for name, labels in self.missing.items():
            yield f"no {name} image of {', '.join(labels[:5])}{f' and {len(labels) - 5} more' * (len(labels) > 5)}"
        if self.unrepresentative:
            yield (
                f"unrepresentative split: the classes' shares differ between {' and '.join(self.counts)}"
                f" (Cramer's V {self.cramers_v:.2f}, p {self.p_value:.1e})"
            )
        if self.shared:
            first, *rest = self.counts
            yield f"{self.shared} {' and '.join(rest)} images are also {first} images"


def summary(labels: Sequence[str], splits: Mapping[str, Split]) -> Summary:
    """Count the ``labels`` in ``splits``, and compare their proportions (Pearson's chi-square of homogeneity)."""
    counts = np.stack([np.bincount(split.labels, minlength=len(labels)) for split in splits.values()])
    table = counts[counts.sum(1) > 0][:, counts.sum(0) > 0].astype(np.float64)  # (splits, labels)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / max(table.sum(), 1)
    chi_square = float(((table - expected) ** 2 / expected).sum())
    rows, columns = table.shape
    degrees = max(0, (rows - 1) * (columns - 1))
    strongest = table.sum() * max(1, min(rows, columns) - 1)
    return Summary(
        tuple(labels),
        {name: tuple(map(int, row)) for name, row in zip(splits, counts, strict=True)},
        chi_square,
        degrees,
        _tail(chi_square, degrees),
        float(np.sqrt(chi_square / max(strongest, 1))),
        _shared(list(splits.values())),
    )


def _tail(chi_square: float, degrees: int) -> float:
    """The probability of a greater value."""
    if not degrees:
        return 1.0
    half = torch.tensor([degrees / 2, chi_square / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def _shared(splits: Sequence[Split]) -> int:
    first, *rest = ([blake2b(image.tobytes(), digest_size=16).digest() for image in s.images] for s in splits)
    known = set(first)
    return sum(image in known for images in rest for image in images)
