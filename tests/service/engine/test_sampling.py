"""Tokens drawn of log-probabilities: from where, how often, and whatever is drawn beside them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.engine.sampling import DRAWS, Limits, likeliest, sample

Array = NDArray[Any]


def log_probabilities(rows: int, tokens: int, seed: int = 0, sharpness: float = 2.0) -> Array:
    logits = np.random.default_rng(seed).normal(size=(rows, tokens)) * sharpness
    normal: Array = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return normal.astype("f4")


def draw(scores: Array, uniform: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Array:
    rows, tokens = scores.shape
    limits = Limits(np.full(rows, temperature, "f4"), np.full(rows, top_k), np.full(rows, top_p), tokens)
    if uniform.ndim == 1:  # the first numbers; the others are spread as evenly
        others = [np.random.default_rng(number).permutation(rows) for number in range(1, DRAWS)]
        uniform = np.stack([uniform, *((np.array(others) + 0.5) / rows)], axis=1)
    return sample(scores, limits, uniform)


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


@pytest.mark.parametrize(
    ("top_k", "top_p"), [(5, 1.0), (0, 0.7), (5, 0.7), (1, 0.5), (400, 1.0), (0, 0.9999), (0, 0.2), (40, 0.01)]
)
@pytest.mark.parametrize("tokens", [100, 300, 2000])
def test_what_is_left_is_drawn_as_often_as_it_is_probable_among_it(top_k: int, top_p: float, tokens: int) -> None:
    scores = log_probabilities(1, tokens, seed=3)
    weights = np.exp(scores[0].astype("f8"))
    order = np.argsort(-weights)
    weights[order[top_k or len(order) :]] = 0
    before = weights[order].cumsum() - weights[order]
    weights[order[before >= top_p * weights.sum()]] = 0
    found = spread(scores, 4000, top_k=top_k, top_p=top_p)
    # Where tokens are drawn again, numbers are spread evenly in each draw and not in all together.
    np.testing.assert_allclose(found, weights / weights.sum(), atol=6e-4 if top_p == 1 else 0.02)
    assert not found[weights == 0].any()


@pytest.mark.parametrize("top_p", [0.9, 0.5, 0.02])
def test_of_a_flat_distribution_the_whole_nucleus_is_drawn_and_nothing_else(top_p: float) -> None:
    scores = log_probabilities(1, 2000, seed=4, sharpness=0.01)
    probabilities = np.sort(np.exp(scores[0].astype("f8")))[::-1]
    nucleus = int((probabilities.cumsum() - probabilities < top_p).sum())
    drawn = spread(scores, 20_000, top_p=top_p)
    order = np.argsort(-scores[0])
    assert drawn[order[nucleus + 1 :]].max() == 0  # the sums are of float32
    expected = 1 / nucleus
    assert np.abs(drawn[order[: nucleus - 1]] - expected).max() < 6 * np.sqrt(expected / 20_000)


def test_the_last_draw_is_of_the_nucleus_sorted() -> None:
    scores = np.log(np.full((1, 600), 1 / 600, "f4")) - np.arange(600, dtype="f4") * 1e-6
    beyond = np.full((1, DRAWS), 1 - 2**-53)  # each draw is the least probable token there is left
    for top_p, allowed in ((0.5, 300), (0.01, 6)):
        token = draw(scores, beyond, top_p=top_p)
        assert abs(int(token[0]) - (allowed - 1)) <= 1


@pytest.mark.parametrize("tokens", [400, 2000])
def test_the_tokens_of_a_tie_at_the_last_rank_are_all_drawn(tokens: int) -> None:
    scores = np.full((1, tokens), -9.0, "f4")
    scores[0, 100:104] = -1.0
    drawn = spread(scores, 4000, top_k=2)
    np.testing.assert_allclose(drawn[100:104], 0.25, atol=1e-3)
    assert drawn.sum() == pytest.approx(drawn[100:104].sum())


@given(
    seed=st.integers(0, 1000),
    tokens=st.sampled_from([2, 3, 41, 255, 256, 257, 512, 513, 600, 1500, 3001]),
    asked=st.lists(
        st.tuples(st.floats(0.01, 10), st.integers(0, 700), st.floats(0.01, 1), st.integers(0, 1 << 30)),
        min_size=1,
        max_size=6,
    ),
)
def test_a_row_draws_what_it_draws_alone_and_nothing_beyond_its_limits(
    seed: int, tokens: int, asked: list[tuple[float, int, float, int]]
) -> None:
    scores = log_probabilities(len(asked), tokens, seed)
    scores[:, seed % tokens] = -np.inf
    temperature, top_k, top_p, seeds = (np.array(column) for column in zip(*asked, strict=True))
    temperature = temperature.astype("f4")
    uniform = np.stack([np.random.default_rng(seed).random(DRAWS) for seed in seeds])
    together = sample(scores, Limits(temperature, top_k, top_p, tokens), uniform)
    for row, token in enumerate(together):
        one = slice(row, row + 1)
        limits = Limits(temperature[one], top_k[one], top_p[one], tokens)
        assert sample(scores[one].copy(), limits, uniform[one]) == [token]
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
