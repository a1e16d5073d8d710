"""Draws tokens by their log-probabilities, for many rows at once.

A row's token depends on that row alone, so the same random numbers give the same token whatever other rows there are.

On a CPU a pass over all tokens is cheap, and what puts them in order is not: for 16 rows of 2,547 tokens, exp takes
19 us, a comparison 8, a partition 204 and a sort 373. So tokens are never sorted. For ``top_p`` a token is drawn of all
of them, and kept if those that are more probable have less than that probability together; otherwise these are drawn
from again. That takes 1 + ln(1 / top_p) draws on average, however flat the distribution is.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# How many random numbers a row needs for one token: so often it is drawn, the last time from the sorted tokens.
DRAWS = 8
_BLOCK = 64  # a draw first finds one of the blocks of this many tokens, then a token in it
_NO_BLOCKS = 256  # up to this many tokens, running sums over all of them take less time
_NO_COLUMNS = 512  # up to this many tokens, a partition takes less time than the maxima of columns
_COLUMNS = 4  # columns for each of the tokens to be found
_PASSES = 8  # up to this count, finding the largest again and again takes less time than a partition


def likeliest(scores: Array, count: int) -> tuple[Array, Array]:
    """The ``count`` tokens of the highest ``scores``, and these scores; both (rows, count), the highest first.

    ``scores`` is (rows, tokens), contiguous; it may be overwritten.
    """
    if count > _PASSES:
        found = np.argpartition(scores, -count, axis=1)[:, -count:]
        values = np.take_along_axis(scores, found, axis=1)
        order = np.argsort(-values, axis=1)
        return np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)
    rows, tokens = scores.shape
    flat, starts = scores.reshape(-1), np.arange(rows) * tokens
    found, values = np.empty((rows, count), "i8"), np.empty((rows, count), scores.dtype)
    for rank in range(count):
        best = scores.argmax(1)
        found[:, rank] = best
        best += starts
        values[:, rank] = flat[best]
        flat[best] = -np.inf
    return found, values


class Limits:
    """How the tokens of some rows are drawn.

    Args:
        temperature: (rows,) float32, above 0; the log-probabilities are divided by it.
        top_k: (rows,) draw from this many of the most probable tokens, and those as probable as the last; 0 for all.
        top_p: (rows,) draw from the most probable of these that together have this probability, likewise.
        tokens: how many there are.
    """

    def __init__(self, temperature: Array, top_k: Array, top_p: Array, tokens: int) -> None:
        self.temperature = None if (temperature == 1).all() else temperature[:, None]
        self.ranked = np.flatnonzero((top_k > 0) & (top_k < tokens))
        self.ranks = top_k[self.ranked]
        self.massed = np.flatnonzero(top_p < 1)
        self.mass = top_p[self.massed]


def sample(scores: Array, limits: Limits, uniform: Array) -> Array:
    """One token for each row, drawn with its numbers in ``uniform``.

    Args:
        scores: (rows, tokens) float32, log-probabilities, -inf for a token that may not be drawn.
        limits: how each row's token is drawn.
        uniform: (rows, `DRAWS`) float64, random numbers in [0, 1).

    Returns:
        (rows,) int64. A row with NaN gets an arbitrary token of the vocabulary.
    """
    with np.errstate(invalid="ignore"):  # -inf minus -inf, if a graph allows no token
        weights = scores - scores.max(1, keepdims=True)
        if limits.temperature is not None:
            weights /= limits.temperature
        np.exp(weights, out=weights)
        if len(ranked := limits.ranked):
            some = _of(scores, ranked)
            weights[ranked] *= some >= _least(some, limits.ranks)
        drawn, total = _draw(weights, uniform[:, 0])
        if len(massed := limits.massed):
            mass = limits.mass * total[massed]
            drawn[massed] = _inside(_of(weights, massed), mass, drawn[massed], uniform[massed])
    return drawn


def _of(tensor: Array, rows: Array) -> Array:
    """The rows; no copy if they are all."""
    return tensor if len(rows) == len(tensor) else tensor[rows]


def _least(scores: Array, ranks: Array) -> Array:
    """The score at each row's rank, 1 for the highest: (rows, 1)."""
    rows, tokens = scores.shape
    most = int(ranks.max())
    if tokens <= _NO_COLUMNS or most * _COLUMNS * 2 > tokens:
        top = np.partition(scores, tokens - most, axis=1)[:, tokens - most :]
    else:
        top = _candidates(scores, most)
    top.sort(axis=1)
    least: Array = top[np.arange(rows), top.shape[1] - ranks][:, None]
    return least


def _candidates(scores: Array, most: int) -> Array:
    """Each row's ``most`` highest scores and some more, in any order: (rows, at least ``most``); the rest is -inf.

    Tokens are put into columns. The ``most`` columns with the highest maxima have a token each that is at least as
    high as the lowest of these maxima, so no lower token is among the ``most`` highest.
    """
    rows, tokens = scores.shape
    columns = most * _COLUMNS
    whole = tokens // columns * columns
    highest = scores[:, :whole].reshape(rows, -1, columns).max(1)
    rest = highest[:, : tokens - whole]
    np.maximum(rest, scores[:, whole:], out=rest)
    bound = np.partition(highest, columns - most, axis=1)[:, columns - most, None]
    found = np.flatnonzero(scores >= bound)
    row = found // tokens
    counts = np.bincount(row, minlength=rows)
    top = np.full((rows, max(most, counts.max())), -np.inf, scores.dtype)
    top[row, np.arange(len(found)) - (counts.cumsum() - counts)[row]] = scores.ravel()[found]
    return top


def _inside(weights: Array, mass: Array, drawn: Array, uniform: Array) -> Array:
    """The tokens ``drawn``, each drawn again until those with more weight have less than ``mass`` together.

    ``drawn`` is overwritten.
    """
    tokens, undecided = drawn, np.arange(len(drawn))
    for draw in range(1, DRAWS):
        own = weights[np.arange(len(tokens)), tokens][:, None]
        heavier = weights * (weights > own)
        outside = np.flatnonzero(heavier.sum(1) >= mass)
        if not len(outside):
            break
        undecided, weights, mass = undecided[outside], heavier[outside], mass[outside]
        if draw == DRAWS - 1:
            weights *= weights >= _least_of_mass(weights, mass)
        tokens, _ = _draw(weights, uniform[undecided, draw])
        drawn[undecided] = tokens
    return drawn


def _least_of_mass(weights: Array, mass: Array) -> Array:
    """The smallest of the largest weights that together have ``mass``: (rows, 1)."""
    ranked = np.sort(weights, axis=1)[:, ::-1]
    before = ranked.cumsum(1, dtype="f8") - ranked
    kept = (before < mass[:, None]).sum(1, keepdims=True)
    least: Array = np.take_along_axis(ranked, np.maximum(kept, 1) - 1, axis=1)
    return least


def _draw(weights: Array, uniform: Array) -> tuple[Array, Array]:
    """A token for each row, by its weight, and the sum of each row's weights."""
    rows, tokens = np.arange(len(weights)), weights.shape[1]
    if tokens <= _NO_BLOCKS:
        upto = weights.cumsum(1, dtype="f8")
        total = upto[:, -1]
        return (upto > (uniform * total)[:, None]).argmax(1), total
    # Running sums are slow: first the block, then the token in it.
    blocks = np.add.reduceat(weights, np.arange(0, tokens, _BLOCK), axis=1)
    upto = blocks.cumsum(1, dtype="f8")
    total = upto[:, -1]
    target = uniform * total
    block = (upto > target[:, None]).argmax(1)
    inside = (block * _BLOCK)[:, None] + np.arange(_BLOCK)
    members = weights[rows[:, None], np.minimum(inside, tokens - 1)]
    members[inside >= tokens] = 0
    within = members.cumsum(1, dtype="f8")
    # A block's sum is rounded, so its share that the number has reached is taken of the sum of its members.
    share = 1 - (upto[rows, block] - target) / blocks[rows, block]
    reached = np.minimum(share, 1 - 2**-53) * within[:, -1]
    return block * _BLOCK + (within > reached[:, None]).argmax(1), total
