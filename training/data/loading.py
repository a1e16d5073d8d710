"""Batches of a split for Lightning, in an order that is a function of seed and epoch alone.

With several processes (``world``, started by torchrun), each takes the share of every batch that belongs to its
``rank``. All have the same number of batches: if one had fewer, the others would wait for ever.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from training.data.masks import MaskSplit
from training.data.split import Bytes, Split
from training.errors import DataError

SOME, AT_ONCE = 256, 64  # images to measure statistics on, in all and in a batch
LEAST = 2  # rows of a training batch in each process: batch norm needs two for a variance


def some_batches(images: Bytes) -> Iterator[Tensor]:
    """At most 256 of the uint8 ``images`` (N, H, W) or (N, H, W, 3), evenly spaced, in batches of 64."""
    count = min(SOME, len(images))
    for start in range(0, count, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, count)) * len(images) // count
        yield torch.from_numpy(images[rows])


class ShuffledBatches(Sampler[list[int]]):
    """Indices of one shuffled pass, ``size`` at a time over all processes, every index once.

    Lightning sets the epoch, so a resumed run sees the same batches as an uninterrupted one.

    Raises:
        DataError: a process would have no rows.
    """

    def __init__(self, examples: int, size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        if min(examples, size) < world:
            raise DataError(f"batches of {size} from {examples} examples cannot be shared by {world} processes")
        self.bounds = bounds(examples, size, min(LEAST * world, size))
        self.examples, self.seed, self.rank, self.world = examples, seed, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls it before each pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed((self.seed << 16) + self.epoch)
        order: list[int] = torch.randperm(self.examples, generator=generator).tolist()
        for start, stop in self.bounds:
            yield order[start + self.rank : stop : self.world]


def training_batches(
    split: Split | MaskSplit, size: int, seed: int, rank: int = 0, world: int = 1
) -> DataLoader[tuple[torch.Tensor, ...]]:
    """Shuffled batches: uint8 images (B, H, W) or (B, H, W, 3), and int64 labels (B,) or uint8 masks (B, H, W).

    ``size`` is of all processes.

    Raises:
        DataError: there are fewer examples, or rows in a batch, than processes.
    """
    sampler = ShuffledBatches(len(split), size, seed, rank, world)
    # The sampler yields whole batches of indices, so that a batch is one gather instead of B small copies.
    return DataLoader(_tensors(split), sampler=sampler, batch_size=None)


def validation_batches(
    split: Split | MaskSplit, size: int, rank: int = 0, world: int = 1
) -> DataLoader[tuple[torch.Tensor, ...]]:
    """The split in its own order, ``size`` rows in each process.

    Raises:
        DataError: there are fewer examples than processes.
    """
    if len(split) < world:
        raise DataError(f"{len(split)} examples to validate on cannot be shared by {world} processes")
    batches = [list(range(start + rank, stop, world)) for start, stop in bounds(len(split), size * world, world)]
    return DataLoader(_tensors(split), sampler=batches, batch_size=None)


def bounds(examples: int, size: int, least: int) -> list[tuple[int, int]]:
    """The first row of each batch and the one after its last; fewer than ``least`` rows left over join the last."""
    starts = list(range(0, examples, size))
    if len(starts) > 1 and examples - starts[-1] < least:
        starts.pop()
    return list(zip(starts, [*starts[1:], examples], strict=True))


def _tensors(split: Split | MaskSplit) -> TensorDataset:
    classes = split.labels if isinstance(split, Split) else split.masks
    return TensorDataset(torch.from_numpy(split.images), torch.from_numpy(classes))
