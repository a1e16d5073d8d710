"""The mean and standard deviation of pixels, used to normalise a network's input (I2DL VI)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from training.data.split import Bytes, Split

DIGITS = 4
ROWS = 1024
# One level of grey, so that a channel without contrast is not divided by zero.
LEAST = round(1 / 255, DIGITS)


@dataclass(frozen=True)
class Statistics:
    """The mean and standard deviation of pixels scaled to 0..1, one number for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def measure(images: Bytes) -> Statistics:
    """The exact statistics of ``images``, (N, H, W) or (N, H, W, C), rounded to `DIGITS`."""
    channels = 1 if images.ndim == 3 else images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(images), ROWS):
        pixels = images[start : start + ROWS].reshape(-1, channels)  # (rows * H * W, C)
        counts += [np.bincount(pixels[:, channel], minlength=256) for channel in range(channels)]
    levels = np.arange(256) / 255
    mean = counts @ levels / counts.sum(1)
    variance = (counts * (levels - mean[:, None]) ** 2).sum(1) / counts.sum(1)
    std = np.maximum(np.sqrt(variance), LEAST)
    return Statistics(_rounded(mean), _rounded(std))


def _rounded(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, ...]:
    return tuple(round(float(value), DIGITS) for value in values)


class Measured(ABC):
    """A source that measures the statistics of its training split when it is read, and reads it for them if needed."""

    _statistics: Statistics | None = None

    @abstractmethod
    def read_training(self) -> Split:
        """Read the training examples."""

    def training(self) -> Split:
        """The training examples, read on every call: they may be too large to keep."""
        split = self.read_training()
        self._statistics = measure(split.images)
        return split

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of the training pixels, one number for each channel."""
        return self._measured().mean

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of the training pixels, one number for each channel."""
        return self._measured().std

    def _measured(self) -> Statistics:
        if self._statistics is None:
            self._statistics = measure(self.read_training().images)
        return self._statistics
