"""Tokens drawn of log-probabilities: from where, how often, and whatever is drawn beside them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.engine.sampling import likeliest, sample

Array = NDArray[Any]


def log_probabilities(rows: int, tokens: int, seed: int = 0, sharpness: float = 2.0) -> Array:
    logits = np.random.default_rng(seed).normal(size=(rows, tokens)) * sharpness
    normal: Array = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return normal.astype("f4")


def draw(scores: Array, uniform: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Array:
    rows = len(scores)
    return sample(scores.copy(), np.full(rows, temperature, "f4"), np.full(rows, top_k), np.full(rows, top_p), uniform)


def spread(scores: Array, draws: int, **how: Any) -> Array:
    """How often each token of one row is drawn, by uniform numbers that are evenly spread: (tokens,)."""
    drawn = draw(np.repeat(scores, draws, axis=0), (np.arange(draws) + 0.5) / draws, **how)
    return np.bincount(drawn, minlength=scores.shape[1]) / draws


@pytest.mark.parametrize("count", [1, 3, 8, 9, 40, 100])
def test_the_likeliest_come_in_order_with_their_numbers(count: int) -> None:
    scores = log_probabilities(7, 100)
    found, values = likeliest(scores.copy(), count)
    np.testing.assert_array_equal(found, np.argsort(-scores, axis=1)[:, :count])
    np.testing.assert_array_equal(values, -np.sort(-scores, axis=1)[:, :count])


@pytest.mark.parametrize("tokens", [2, 63, 64, 65, 700])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_are_drawn_as_often_as_they_are_probable(tokens: int, temperature: float) -> None:
    scores = log_probabilities(1, tokens)
    weights = np.exp(scores[0].astype("f8") / temperature)
    np.testing.assert_allclose(spread(scores, 4000, temperature=temperature), weights / weights.sum(), atol=6e-4)


@pytest.mark.parametrize(("top_k", "top_p"), [(5, 1.0), (0, 0.7), (5, 0.7), (1, 0.5), (400, 1.0), (0, 0.9999)])
def test_what_is_left_is_drawn_as_often_as_it_is_probable_among_it(top_k: int, top_p: float) -> None:
    scores = log_probabilities(1, 300, seed=3)
    weights = np.exp(scores[0].astype("f8"))
    order = np.argsort(-weights)
    weights[order[top_k or len(order) :]] = 0
    before = weights[order].cumsum() - weights[order]
    weights[order[before >= top_p * weights.sum()]] = 0
    found = spread(scores, 4000, top_k=top_k, top_p=top_p)
    np.testing.assert_allclose(found, weights / weights.sum(), atol=6e-4)
    assert not found[weights == 0].any()


def test_a_nucleus_of_more_tokens_than_are_ranked_at_first_is_whole() -> None:
    scores = log_probabilities(1, 2000, seed=4, sharpness=0.1)
    probabilities = np.sort(np.exp(scores[0].astype("f8")))[::-1]
    nucleus = int((probabilities.cumsum() - probabilities < 0.5).sum())
    assert nucleus > 256
    drawn = spread(scores, 3000, top_p=0.5)
    assert abs(int((drawn > 0).sum()) - nucleus) <= 1  # the sums are of float32
    assert drawn[np.argsort(-scores[0])[nucleus + 1 :]].max() == 0


@given(
    seed=st.integers(0, 1000),
    tokens=st.integers(2, 600),
    asked=st.lists(
        st.tuples(st.floats(0.01, 10), st.integers(0, 700), st.floats(0.01, 1), st.floats(0, 1, exclude_max=True)),
        min_size=1,
        max_size=6,
    ),
)
def test_a_row_draws_what_it_draws_alone_and_nothing_beyond_its_limits(
    seed: int, tokens: int, asked: list[tuple[float, int, float, float]]
) -> None:
    scores = log_probabilities(len(asked), tokens, seed)
    scores[:, seed % tokens] = -np.inf
    temperature, top_k, top_p, uniform = (np.array(column) for column in zip(*asked, strict=True))
    temperature = temperature.astype("f4")
    together = sample(scores.copy(), temperature, top_k, top_p, uniform)
    for row, token in enumerate(together):
        one = slice(row, row + 1)
        assert sample(scores[one].copy(), temperature[one], top_k[one], top_p[one], uniform[one]) == [token]
        assert token != seed % tokens
        better = scores[row] > scores[row, token]
        if top_k[row]:
            assert better.sum() < top_k[row]
        weights = np.exp((scores[row].astype("f8") - scores[row].max()) / temperature[row])
        weights[scores[row] < np.sort(scores[row])[-min(top_k[row] or tokens, tokens)]] = 0
        assert weights[better].sum() < top_p[row] * weights.sum() * (1 + 1e-5) + 1e-12


def test_towards_temperature_0_the_most_probable_token_is_drawn() -> None:
    scores = log_probabilities(50, 100)
    for uniform in (0.0, 0.5, 1 - 2**-53):
        np.testing.assert_array_equal(draw(scores, np.full(50, uniform), temperature=1e-5), scores.argmax(1))


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
@pytest.mark.parametrize("how", [{}, {"top_k": 3}, {"top_p": 0.5}])
def test_a_row_of_no_numbers_draws_a_token_there_is_and_leaves_others_alone(value: float, how: dict[str, Any]) -> None:
    scores = log_probabilities(3, 70)
    wanted = draw(scores, np.full(3, 0.9), **how)
    scores[1] = value
    drawn = draw(scores, np.full(3, 0.9), **how)
    assert 0 <= drawn[1] < 70
    assert drawn[[0, 2]].tolist() == wanted[[0, 2]].tolist()
