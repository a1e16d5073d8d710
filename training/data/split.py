"""Images and their classes, in memory."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.errors import DataError

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Split:
    """Images in uint8, (N, H, W) of grey or (N, H, W, 3) of colour, and their classes (N,)."""

    images: Bytes
    labels: Bytes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> "Split":
        return Split(self.images[rows], self.labels[rows])


def hold_out(whole: Split, validation: int, seed: int) -> tuple[Split, Split]:
    """``whole``, shuffled by ``seed`` and cut in two: (training, validation), each in its first order.

    Raises:
        DataError: ``validation`` leaves nothing to train on.
    """
    if not 0 < validation < len(whole):
        raise DataError(f"{validation} of {len(whole)} examples cannot be held out")
    order = np.random.default_rng(seed).permutation(len(whole))
    return whole[np.sort(order[validation:])], whole[np.sort(order[:validation])]
