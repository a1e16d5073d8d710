"""Batches of images with captions as tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.data.captions import CaptionSplit
from training.data.loading import ShuffledBatches, bounds
from training.data.vocabulary import PAD, Vocabulary
from training.errors import DataError

CaptionBatch = tuple[Tensor, Tensor, Tensor]


class CaptionPairs(Dataset[CaptionBatch]):
    """Every caption of every image of ``split``, with its image: one example is a pair.

    Indexed by a list of pairs: images (B, H, W) or (B, H, W, 3) in uint8, tokens (B, T) in int64 from start to end and
    then pad, and mask (B, T), true where there is no pad. T is ``longest`` words and 2, whatever the batch.

    Raises:
        DataError: an image has no caption, or a caption has no word.
    """

    def __init__(self, split: CaptionSplit, vocabulary: Vocabulary, longest: int) -> None:
        for captions in split.captions:
            if not captions or not all(caption.split() for caption in captions):
                raise DataError(f"captions {captions}: one or more are wanted for each image, of one word or more")
        self._images = torch.from_numpy(split.images)
        self._rows = torch.from_numpy(np.repeat(np.arange(len(split)), [len(c) for c in split.captions]))
        encoded = [vocabulary.encode(text, longest) for captions in split.captions for text in captions]
        self._tokens = token_rows(encoded, longest + 2)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, pairs: list[int]) -> CaptionBatch:
        tokens = self._tokens[pairs]
        return self._images[self._rows[pairs]], tokens, tokens != PAD


def token_rows(encoded: Sequence[Sequence[int]], length: int) -> Tensor:
    """The sequences as rows of int64 (N, length), pad after the end.

    Raises:
        DataError: one is longer.
    """
    rows = torch.full((len(encoded), length), PAD)
    for row, tokens in zip(rows, encoded, strict=True):
        if len(tokens) > length:
            raise DataError(f"{len(tokens)} tokens in a row of {length}")
        row[: len(tokens)] = torch.tensor(tokens)
    return rows


def training_captions(
    split: CaptionSplit, vocabulary: Vocabulary, longest: int, size: int, seed: int, rank: int = 0, world: int = 1
) -> DataLoader[CaptionBatch]:
    """Shuffled batches of ``size`` pairs over all processes, as `CaptionPairs` gives them; each comes once a pass.

    Raises:
        DataError: there are fewer pairs, or rows in a batch, than processes.
    """
    pairs = CaptionPairs(split, vocabulary, longest)
    return DataLoader(pairs, sampler=ShuffledBatches(len(pairs), size, seed, rank, world), batch_size=None)


def validation_captions(
    split: CaptionSplit, vocabulary: Vocabulary, longest: int, size: int, rank: int = 0, world: int = 1
) -> DataLoader[CaptionBatch]:
    """All pairs in their order, ``size`` at a time in each process.

    Raises:
        DataError: there are fewer pairs than processes.
    """
    pairs = CaptionPairs(split, vocabulary, longest)
    if len(pairs) < world:
        raise DataError(f"{len(pairs)} captions to validate on cannot be shared by {world} processes")
    batches = [list(range(start + rank, stop, world)) for start, stop in bounds(len(pairs), size * world, world)]
    return DataLoader(pairs, sampler=batches, batch_size=None)
