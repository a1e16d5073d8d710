"""Cutting the examples of a set in those to learn from and those to choose by (I2DL VI)."""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from training.craft.table import MOST, Table, Whole
from training.data.source import Source
from training.data.split import Labels, Split
from training.errors import DataError

Rows = npt.NDArray[np.intp]
Parts = tuple[Rows, Rows]


class Fold(Table):
    """One of ``of`` parts of the examples, the ``index``-th from 0, to validate on; the rest is trained on."""

    index: Whole
    of: Annotated[int, Field(ge=2, le=MOST)]

    @model_validator(mode="after")
    def _index_is_below(self) -> "Fold":
        if self.index >= self.of:
            raise ValueError(f"index {self.index}: of {self.of} folds the last is {self.of - 1}")
        return self


def cut(
    source: Source,
    *,
    validation: int | float,
    seed: int,
    fold: Fold | None = None,
    bootstrap: bool = False,
    examples: int | None = None,
) -> tuple[Split, Split]:
    """The examples of ``source`` that are no test: (training, validation), chosen by ``seed``.

    With a ``fold``, the stratified one of that index; with ``bootstrap``, as many draws with replacement as there are
    examples, and the out-of-bag ones to validate on (Breiman 1996); otherwise the source's own validation split,
    or ``validation`` examples (as a float: that share of them) held out. ``examples`` limits the training part to
    so many, in equal proportions of each class.

    Raises:
        DataError: nothing would be left on one side, or both ``fold`` and ``bootstrap`` are asked for.
    """
    if fold and bootstrap:
        raise DataError("a fold and a bootstrap exclude each other: both say what is trained on")
    training, held_out = source.training(), source.validation()
    if fold or bootstrap:
        whole = training + held_out if held_out else training
        rows = k_fold(whole.labels, fold, seed) if fold else draw(len(whole), seed)
        training, held_out = whole[rows[0]], whole[rows[1]]
    elif held_out is None:
        rows = hold_out(len(training), validation, seed)
        training, held_out = training[rows[0]], training[rows[1]]
    return limit(training, examples, seed) if examples else training, held_out


def hold_out(examples: int, validation: int | float, seed: int) -> Parts:
    """``validation`` of the rows, or that share of them if it is a float, picked by ``seed``; both parts in order.

    Raises:
        DataError: ``validation`` leaves nothing to train on, or nothing to validate on.
    """
    count = round(validation * examples) if isinstance(validation, float) else validation
    if not 0 < count < examples:
        raise DataError(f"{validation} of {examples} examples cannot be held out")
    order = np.random.default_rng(seed).permutation(examples)
    return np.sort(order[count:]), np.sort(order[:count])


def k_fold(labels: Labels, fold: Fold, seed: int) -> Parts:
    """The rows outside and inside a fold; over all folds of a seed each row is inside once.

    The folds differ by one at most in size, and in the number of each class.

    Raises:
        DataError: there are more folds than examples.
    """
    if fold.of > len(labels):
        raise DataError(f"{len(labels)} examples are too few for {fold.of} folds")
    # The classes one after the other, each shuffled, dealt out like cards.
    inside = _by_class(labels, seed)[fold.index :: fold.of]
    return np.setdiff1d(np.arange(len(labels)), inside, assume_unique=True), np.sort(inside)


def draw(examples: int, seed: int) -> Parts:
    """As many rows as there are, drawn with replacement, and those that were never drawn; both in order.

    Raises:
        DataError: every example was drawn, which only happens to a handful.
    """
    drawn = np.sort(np.random.default_rng(seed).integers(0, examples, examples))
    left = np.setdiff1d(np.arange(examples), drawn)
    if not len(left):
        raise DataError(f"a bootstrap of {examples} examples by seed {seed} leaves none to validate on")
    return drawn.astype(np.intp), left


def limit(training: Split, examples: int, seed: int) -> Split:
    """``examples`` rows of ``training``, in the proportions of its classes, in its order.

    Raises:
        DataError: it has fewer.
    """
    if examples > len(training):
        raise DataError(f"{examples} examples are asked for, there are {len(training)} to train on")
    # Evenly spaced over the classes laid end to end, so that each gives its share.
    spaced = np.arange(examples) * len(training) // examples
    return training[np.sort(_by_class(training.labels, seed)[spaced])]


def _by_class(labels: Labels, seed: int) -> Rows:
    """The rows of the first class, of the second, and so on; those of each in an order that ``seed`` decides."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return order[np.argsort(labels[order], kind="stable")]
