"""Cuts the examples of a data set into training and validation examples (I2DL VI)."""

from dataclasses import dataclass
from typing import Annotated, Protocol

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
    """The ``index``-th (from 0) of ``of`` parts of the examples is for validation, the rest for training."""

    index: Whole
    of: Annotated[int, Field(ge=2, le=MOST)]

    @model_validator(mode="after")
    def _index_is_below(self) -> "Fold":
        if self.index >= self.of:
            raise ValueError(f"index is {self.index}; {self.of} folds allow 0 to {self.of - 1}")
        return self


class Splitting(Protocol):
    """What a recipe says of the examples to train and to validate on.

    With ``fold``, the validation part is that stratified fold. With ``bootstrap``, the training part is as many draws
    with replacement as there are examples, and the validation part the examples never drawn (Breiman 1996). Otherwise
    the validation part is the source's own, or ``validation`` examples (as a float: that share of them). ``examples``
    limits the training part to that number, in the proportions of its classes. Each choice follows from ``seed``.
    """

    @property
    def validation(self) -> int | float:
        """The number of examples held out, or their share."""

    @property
    def seed(self) -> int:
        """What the choice follows from."""

    @property
    def fold(self) -> Fold | None:
        """The part held out instead."""

    @property
    def bootstrap(self) -> bool:
        """Whether the examples are drawn with replacement instead."""

    @property
    def examples(self) -> int | None:
        """The number of training examples, if not all."""


@dataclass(frozen=True)
class HoldOut:
    """A `Splitting` without a recipe."""

    validation: int | float
    seed: int = 0
    fold: Fold | None = None
    bootstrap: bool = False
    examples: int | None = None


def split(recipe: Splitting, source: Source) -> tuple[Split, Split]:
    """The examples of ``source`` except the test split, as (training, validation), as ``recipe`` says.

    Training and export both call it, so that a package is checked on what its network was not trained on.

    Raises:
        DataError: a part would be empty, or both ``fold`` and ``bootstrap`` are given.
    """
    if recipe.fold and recipe.bootstrap:
        raise DataError("fold and bootstrap exclude each other: both say what is trained on")
    training, held_out = source.training(), source.validation()
    if recipe.fold or recipe.bootstrap:
        whole = training + held_out if held_out else training
        rows = k_fold(whole.labels, recipe.fold, recipe.seed) if recipe.fold else draw(len(whole), recipe.seed)
        training, held_out = whole[rows[0]], whole[rows[1]]
    elif held_out is None:
        rows = hold_out(len(training), recipe.validation, recipe.seed)
        training, held_out = training[rows[0]], training[rows[1]]
    return limit(training, recipe.examples, recipe.seed) if recipe.examples else training, held_out


def hold_out(examples: int, validation: int | float, seed: int) -> Parts:
    """Hold out ``validation`` rows, or that share of them if it is a float, chosen by ``seed``; both parts in order.

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

    The sizes of the folds differ by at most one, and so do their numbers of each class.

    Raises:
        DataError: there are more folds than examples.
    """
    if fold.of > len(labels):
        raise DataError(f"{len(labels)} examples are too few for {fold.of} folds")
    # The classes one after the other, each shuffled; every ``of``-th row belongs to the same fold.
    inside = _by_class(labels, seed)[fold.index :: fold.of]
    return np.setdiff1d(np.arange(len(labels)), inside, assume_unique=True), np.sort(inside)


def draw(examples: int, seed: int) -> Parts:
    """As many rows as there are examples, drawn with replacement, and the rows never drawn; both in order.

    Raises:
        DataError: every example was drawn, which only happens with very few.
    """
    drawn = np.sort(np.random.default_rng(seed).integers(0, examples, examples))
    left = np.setdiff1d(np.arange(examples), drawn)
    if not len(left):
        raise DataError(f"a bootstrap of {examples} examples by seed {seed} leaves none to validate on")
    return drawn.astype(np.intp), left


def limit(training: Split, examples: int, seed: int) -> Split:
    """``examples`` rows of ``training``, in the proportions of its classes, in its order.

    Raises:
        DataError: ``training`` has fewer examples.
    """
    if examples > len(training):
        raise DataError(f"examples is {examples}; the training split has {len(training)}")
    # Rows evenly spaced over the classes, one class after the other, keep the proportions.
    spaced = np.arange(examples) * len(training) // examples
    return training[np.sort(_by_class(training.labels, seed)[spaced])]


def _by_class(labels: Labels, seed: int) -> Rows:
    """The rows of the first class, of the second, and so on; the order within a class depends on ``seed``."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return order[np.argsort(labels[order], kind="stable")]
