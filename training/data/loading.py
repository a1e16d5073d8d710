"""Batches of a split for Lightning, in an order that is a function of seed and epoch alone."""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Sampler, TensorDataset

from training.data.split import Split


class ShuffledBatches(Sampler[list[int]]):
    """Indices of one shuffled pass, ``size`` at a time.

    Lightning tells it the epoch, so a resumed run sees the batches that an unbroken one would have.
    """

    def __init__(self, examples: int, size: int, seed: int) -> None:
        self.examples, self.size, self.seed = examples, size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.examples // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed((self.seed << 16) + self.epoch)
        order: list[int] = torch.randperm(self.examples, generator=generator).tolist()
        for start in range(0, self.examples, self.size):
            yield order[start : start + self.size]


def training_batches(split: Split, size: int, seed: int) -> DataLoader[tuple[torch.Tensor, ...]]:
    """Shuffled batches: uint8 images (B, H, W) or (B, H, W, 3), int64 labels (B,)."""
    sampler = ShuffledBatches(len(split), size, seed)
    # The sampler yields whole batches of indices, so that a batch is one gather instead of B small copies.
    return DataLoader(_tensors(split), sampler=sampler, batch_size=None)


def validation_batches(split: Split, size: int) -> DataLoader[tuple[torch.Tensor, ...]]:
    """The split in its own order."""
    batches = [list(range(i, min(i + size, len(split)))) for i in range(0, len(split), size)]
    return DataLoader(_tensors(split), sampler=batches, batch_size=None)


def _tensors(split: Split) -> TensorDataset:
    return TensorDataset(torch.from_numpy(split.images), torch.from_numpy(split.labels).long())
