"""Images and their classes, in memory."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Images in uint8, (N, H, W) if grey or (N, H, W, 3) if in colour, and their classes (N,), from 0."""

    images: Bytes
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> "Split":
        return Split(self.images[rows], self.labels[rows])

    def __add__(self, other: "Split") -> "Split":
        return Split(np.concatenate((self.images, other.images)), np.concatenate((self.labels, other.labels)))
