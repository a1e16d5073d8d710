"""Batches of images with captions as tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.data.captions import CaptionSplit
from training.data.loading import ShuffledBatches, bounds
from training.data.split import Bytes
from training.data.vocabulary import PAD, Vocabulary
from training.errors import DataError

CaptionBatch = tuple[Tensor, Tensor, Tensor, Tensor]


class CaptionedImages(Dataset[CaptionBatch]):
    """The images of ``split``, each with all of its captions, so that it is encoded once for all of them.

    A list of B indices gives: images (B, H, W) or (B, H, W, 3) in uint8; the index (N,) of each caption's image among
    these; the captions' tokens (N, T) in int64, from start to end and then pad; and where to look for each word,
    ``looks`` (N, words, places) in uint8, or an empty (N, 0, 0). T is ``longest`` + 2, whatever the batch.

    Raises:
        DataError: an image has no caption, or a caption has no word.
    """

    def __init__(self, split: CaptionSplit, vocabulary: Vocabulary, longest: int, looks: Bytes | None = None) -> None:
        for captions in split.captions:
            if not captions or not all(caption.split() for caption in captions):
                raise DataError(f"the captions of an image are {captions}; each image needs one, of at least one word")
        self._images = torch.from_numpy(split.images)
        counts = [len(captions) for captions in split.captions]
        self._starts = np.concatenate(([0], np.cumsum(counts)))
        encoded = [vocabulary.encode(text, longest) for captions in split.captions for text in captions]
        self._tokens = token_rows(encoded, longest + 2)
        self._looks = torch.from_numpy(np.zeros((len(encoded), 0, 0), np.uint8) if looks is None else looks)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, images: list[int]) -> CaptionBatch:
        first, last = self._starts[images], self._starts[np.add(images, 1)]
        rows = np.concatenate([np.arange(start, stop) for start, stop in zip(first, last, strict=True)])
        places = torch.from_numpy(np.repeat(np.arange(len(images)), last - first))
        return self._images[images], places, self._tokens[rows], self._looks[rows]


def token_rows(encoded: Sequence[Sequence[int]], length: int) -> Tensor:
    """The sequences as rows of int64 (N, length), padded at the end.

    Raises:
        DataError: a sequence is longer than ``length``.
    """
    rows = torch.full((len(encoded), length), PAD)
    for row, tokens in zip(rows, encoded, strict=True):
        if len(tokens) > length:
            raise DataError(f"a sequence has {len(tokens)} tokens; at most {length} are allowed")
        row[: len(tokens)] = torch.tensor(tokens)
    return rows


def training_captions(
    split: CaptionSplit,
    vocabulary: Vocabulary,
    longest: int,
    size: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
    looks: Bytes | None = None,
) -> DataLoader[CaptionBatch]:
    """Shuffled batches of `CaptionedImages`, ``size`` images over all processes; a pass has each image once.

    Raises:
        DataError: there are fewer images, or rows in a batch, than processes.
    """
    images = CaptionedImages(split, vocabulary, longest, looks)
    return DataLoader(images, sampler=ShuffledBatches(len(images), size, seed, rank, world), batch_size=None)


def validation_captions(
    split: CaptionSplit, vocabulary: Vocabulary, longest: int, size: int, rank: int = 0, world: int = 1
) -> DataLoader[CaptionBatch]:
    """All images in order, ``size`` at a time in each process.

    Raises:
        DataError: there are fewer images than processes.
    """
    images = CaptionedImages(split, vocabulary, longest)
    if len(images) < world:
        raise DataError(f"{len(images)} images to validate on cannot be shared by {world} processes")
    batches = [list(range(start + rank, stop, world)) for start, stop in bounds(len(images), size * world, world)]
    return DataLoader(images, sampler=batches, batch_size=None)
