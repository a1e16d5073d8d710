"""Tokens of their log-probabilities, for many rows at once: the likeliest, and one that is drawn.

What a row gets hangs on the row alone, whatever others are there: the same seed gives the same token in any company.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NUCLEUS = 256  # tokens that hold most nuclei
_BLOCK = 64  # tokens whose weights are added up before one of them is looked for
_PASSES = 8  # so often the largest is found and taken out in less time than a partition takes


def likeliest(scores: Array, count: int) -> tuple[Array, Array]:
    """The tokens of the ``count`` highest ``scores`` (rows, tokens) and these, both (rows, count), the highest first.

    ``scores`` are spoiled.
    """
    if count > _PASSES:
        found = np.argpartition(scores, -count, axis=1)[:, -count:]
        values = np.take_along_axis(scores, found, axis=1)
        order = np.argsort(-values, axis=1)
        return np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)
    rows = np.arange(len(scores))
    found, values = np.empty((len(scores), count), "i8"), np.empty((len(scores), count), scores.dtype)
    for rank in range(count):
        found[:, rank] = scores.argmax(1)
        values[:, rank] = scores[rows, found[:, rank]]
        scores[rows, found[:, rank]] = -np.inf
    return found, values


def sample(scores: Array, temperature: Array, top_k: Array, top_p: Array, uniform: Array) -> Array:
    """A token for each row, drawn by its ``uniform`` number in [0, 1).

    Args:
        scores: log-probabilities (rows, tokens) float32, -inf for a token that may not be drawn; they are spoiled.
        temperature: (rows,) float32, what they are divided by, above 0.
        top_k: (rows,) draw of so many of the most probable tokens; 0: of all.
        top_p: (rows,) of these, draw of the most probable that together have this probability.
        uniform: (rows,) float64.

    Returns:
        (rows,) int64. A row of numbers that cannot be compared gets some token that there is.
    """
    rows, tokens = scores.shape
    drawn = np.zeros(rows, "i8")
    counts = np.where(top_k < tokens, top_k, 0)
    with np.errstate(invalid="ignore"):  # -inf less -inf, where a graph gives nothing else
        for count in np.unique(counts).tolist():
            some = np.flatnonzero(counts == count)
            these = scores if len(some) == rows else scores[some]
            if count:
                drawn[some] = _of_top(these, temperature[some], count, top_p[some], uniform[some])
            else:
                drawn[some] = _of_all(these, temperature[some], top_p[some], uniform[some])
    return drawn


def _of_top(scores: Array, temperature: Array, count: int, top_p: Array, uniform: Array) -> Array:
    found, values = likeliest(scores, count)
    weights = _weights(values, temperature).astype("f8")
    upto = weights.cumsum(1)
    weights[upto - weights >= top_p[:, None] * upto[:, -1:]] = 0
    upto = weights.cumsum(1)
    drawn: Array = np.take_along_axis(found, _first_beyond(upto, uniform * upto[:, -1])[:, None], axis=1)[:, 0]
    return drawn


def _of_all(scores: Array, temperature: Array, top_p: Array, uniform: Array) -> Array:
    weights = _weights(scores, temperature)
    if (limited := np.flatnonzero(top_p < 1)).size:
        some = weights[limited]
        some[some < _least(some, top_p[limited])] = 0
        weights[limited] = some
    return _draw(weights, uniform)


def _least(weights: Array, top_p: Array, ranks: int = _NUCLEUS) -> Array:
    """The weight of the last token that ``top_p`` takes, (rows, 1); it is sought in so many ranks first."""
    tokens = weights.shape[1]
    most = min(ranks, tokens)
    ranked = np.sort(np.partition(weights, tokens - most, axis=1)[:, tokens - most :], axis=1)[:, ::-1]
    heavy = ranked.astype("f8")
    upto = heavy.cumsum(1)
    wanted = top_p * weights.sum(1)
    kept = (upto - heavy < wanted[:, None]).sum(1, keepdims=True)
    least: Array = np.take_along_axis(ranked, np.maximum(kept, 1) - 1, axis=1)
    if most < tokens and (beyond := np.flatnonzero(upto[:, -1] < wanted)).size:
        least[beyond] = _least(weights[beyond], top_p[beyond], tokens)
    return least


def _weights(scores: Array, temperature: Array) -> Array:
    """What the tokens weigh, the heaviest 1."""
    weights: Array = np.exp((scores - scores.max(1, keepdims=True)) / temperature[:, None])
    return weights


def _draw(weights: Array, uniform: Array) -> Array:
    """A token for each row by its weight: the block first, then in the block. Sums are quick, running sums are not."""
    tokens = weights.shape[1]
    blocks = np.add.reduceat(weights, np.arange(0, tokens, _BLOCK), axis=1).astype("f8")
    upto = blocks.cumsum(1)
    target = uniform * upto[:, -1]
    block = _first_beyond(upto, target)[:, None]
    target -= np.take_along_axis(upto - blocks, block, axis=1)[:, 0]
    inside = block * _BLOCK + np.arange(_BLOCK)
    members = np.take_along_axis(weights, np.minimum(inside, tokens - 1), axis=1).astype("f8")
    members[inside >= tokens] = 0
    drawn: Array = block[:, 0] * _BLOCK + _first_beyond(members.cumsum(1), target)
    return drawn


def _first_beyond(upto: Array, target: Array) -> Array:
    """The first column whose running sum is above ``target``; where rounding lets none be, the last that adds to it."""
    first: Array = np.minimum((upto <= target[:, None]).sum(1), (upto < upto[:, -1:]).sum(1))
    return first
