"""Chooses tokens by their log-probabilities, for many rows at once: the most probable ones, or one at random.

A row's token depends on that row alone, so the same seed gives the same token whatever other rows there are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NUCLEUS = 256  # tokens; most top-p sets are smaller
_BLOCK = 64  # a draw first finds one of the blocks of this many tokens, then a token in it
_PASSES = 8  # up to this count, finding the largest again and again takes less time than a partition


def likeliest(scores: Array, count: int) -> tuple[Array, Array]:
    """The ``count`` tokens of the highest ``scores``, and these scores; both (rows, count), the highest first.

    ``scores`` is (rows, tokens); it may be overwritten.
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
    """One token for each row, drawn with its number in ``uniform``.

    Args:
        scores: (rows, tokens) float32, log-probabilities, -inf for a token that may not be drawn; may be overwritten.
        temperature: (rows,) float32, above 0; the log-probabilities are divided by it.
        top_k: (rows,) draw from this many of the most probable tokens; 0 for all.
        top_p: (rows,) draw from the most probable of these that together have this probability.
        uniform: (rows,) float64, random numbers in [0, 1).

    Returns:
        (rows,) int64. A row with NaN gets an arbitrary token of the vocabulary.
    """
    rows, tokens = scores.shape
    drawn = np.zeros(rows, "i8")
    counts = np.where(top_k < tokens, top_k, 0)
    with np.errstate(invalid="ignore"):  # -inf minus -inf, if a graph allows no token
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
    """The smallest weight in each row's top-p set, (rows, 1); sorts only the ``ranks`` largest if they suffice."""
    tokens = weights.shape[1]
    most = min(ranks, tokens)
    ranked = np.sort(np.partition(weights, tokens - most, axis=1)[:, tokens - most :], axis=1)[:, ::-1]
    heavy = ranked.astype("f8")
    upto = heavy.cumsum(1)
    target = top_p * weights.sum(1)
    kept = (upto - heavy < target[:, None]).sum(1, keepdims=True)
    least: Array = np.take_along_axis(ranked, np.maximum(kept, 1) - 1, axis=1)
    if most < tokens and (beyond := np.flatnonzero(upto[:, -1] < target)).size:
        least[beyond] = _least(weights[beyond], top_p[beyond], tokens)
    return least


def _weights(scores: Array, temperature: Array) -> Array:
    """The unnormalised probabilities of the tokens; the largest is 1."""
    weights: Array = np.exp((scores - scores.max(1, keepdims=True)) / temperature[:, None])
    return weights


def _draw(weights: Array, uniform: Array) -> Array:
    """A token for each row, by its weight: first its block, then the token in it, since running sums are slow."""
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
    """The first column whose running sum exceeds ``target``; if rounding leaves none, the last with a weight."""
    first: Array = np.minimum((upto <= target[:, None]).sum(1), (upto < upto[:, -1:]).sum(1))
    return first
