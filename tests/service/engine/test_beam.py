"""Beam search by itself, against a search of every sentence there is."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.engine.beam import Beam, Candidates
from service.engine.sampling_parameters import SamplingParameters

END = 0
Sentence = tuple[int, ...]


class Language:
    """The probability of each next token hangs on all tokens before it."""

    def __init__(self, seed: int, tokens: int, steps: int) -> None:
        self.tokens = tokens
        self.steps = steps
        random = np.random.default_rng(seed)
        self._following = {
            prefix: np.log(random.dirichlet(np.full(tokens, 0.7)) + 1e-9)
            for length in range(steps)
            for prefix in itertools.product(range(tokens), repeat=length)
        }

    def after(self, prefix: Sentence) -> NDArray[Any]:
        return self._following[prefix]

    def total(self, sentence: Sentence) -> float:
        return float(sum(self.after(sentence[:place])[token] for place, token in enumerate(sentence)))

    def sentences(self, ends: bool) -> list[Sentence]:
        """All that end with `END` or with the last step."""
        found: list[Sentence] = []
        for length in range(1, self.steps + 1):
            for sentence in itertools.product(range(self.tokens), repeat=length):
                inside = ends and END in sentence[:-1]
                if not inside and (length == self.steps or (ends and sentence[-1] == END)):
                    found.append(sentence)
        return found


def penalty(tokens: int, exponent: float) -> float:
    return float(((5 + tokens) / 6) ** exponent)


def search(language: Language, sampling: SamplingParameters, *, ends: bool = True) -> tuple[Beam, int]:
    """The search at its end, and how many steps it took; each row emits the tokens it was given."""
    beam = Beam(sampling, END if ends else None, language.steps)
    rows: list[Sentence] = [()] * sampling.width
    for step in itertools.count(1):
        candidates = [_offer(language, row, sampling.prefix[step - 1 : step]) for row in rows]
        given = np.array([sum((token + 1) * 10**place for place, token in enumerate(row)) for row in rows])
        if beam.advance(candidates, {"given": given}, lambda row, given=given: {"answered": given[row]}):  # type: ignore[misc]
            return beam, step
        rows = [(*rows[parent], token) for parent, token in zip(beam.parents, beam.tokens, strict=True)]
    raise AssertionError


def _offer(language: Language, row: Sentence, forced: Sequence[int]) -> Candidates:
    scores = language.after(row) if len(row) < language.steps else np.zeros(language.tokens)
    tokens = list(forced) or range(language.tokens)
    return Candidates(list(tokens), [float(scores[token]) for token in tokens])


def sentences(beam: Beam) -> list[Sentence]:
    """The hypotheses, each up to its end."""
    rows = np.stack([step["token"] for step in beam.best()], axis=1)
    return [tuple(row[: row.index(END) + 1] if END in row else row) for row in rows.tolist()]


cases = {
    "seed": st.integers(0, 10_000),
    "tokens": st.integers(2, 4),
    "steps": st.integers(1, 4),
    "exponent": st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    "ends": st.booleans(),
}


@given(**cases, n_best=st.integers(1, 5))
def test_a_beam_as_wide_as_there_are_prefixes_finds_the_best_of_all_sentences(
    seed: int, tokens: int, steps: int, exponent: float, ends: bool, n_best: int
) -> None:
    language = Language(seed, tokens, steps)
    width = tokens**steps
    beam, _ = search(
        language, SamplingParameters("beam", width=width, length_penalty=exponent, n_best=min(n_best, width)), ends=ends
    )
    scored = {
        sentence: language.total(sentence) / penalty(len(sentence), exponent) for sentence in language.sentences(ends)
    }
    expected = sorted(scored.values(), reverse=True)[: min(n_best, width)]
    np.testing.assert_allclose(np.asarray(beam.best()[-1]["score"], "f8"), expected, rtol=1e-5)
    found = [tuple(row) for row in np.stack([step["token"] for step in beam.best()], axis=1).tolist()]
    cut = [row[: row.index(END) + 1] if ends and END in row else row for row in found]
    np.testing.assert_allclose([scored[row] for row in cut], expected, rtol=1e-5)


@given(**cases, width=st.integers(1, 5))
def test_what_a_narrow_beam_finds_is_a_sentence_with_its_own_numbers(
    seed: int, tokens: int, steps: int, exponent: float, ends: bool, width: int
) -> None:
    language = Language(seed, tokens, steps)
    beam, took = search(
        language, SamplingParameters("beam", width=width, length_penalty=exponent, n_best=width), ends=ends
    )
    best = beam.best()
    assert len(best) <= took <= steps
    scores = best[-1]["score"]
    assert (np.diff(scores) <= 0).all()
    for row in range(len(scores)):
        chosen = tuple(int(step["token"][row]) for step in best)
        sentence = chosen[: chosen.index(END) + 1] if ends and END in chosen else chosen
        assert len(set(chosen[len(sentence) - 1 :])) == 1  # it repeats its last token
        for place, step in enumerate(best[: len(sentence)]):
            np.testing.assert_allclose(step["log_probability"][row], language.after(sentence[:place])[sentence[place]])
            assert step["given"][row] == sum((token + 1) * 10**i for i, token in enumerate(sentence[:place]))
        assert best[-1]["answered"][row] == best[len(sentence) - 1]["given"][row]
        np.testing.assert_allclose(scores[row], language.total(sentence) / penalty(len(sentence), exponent), rtol=1e-5)


@given(**cases)
@example(seed=698, tokens=4, steps=2, exponent=1.0, ends=True)
def test_a_beam_of_one_takes_the_most_probable_token_of_each_step(
    seed: int, tokens: int, steps: int, exponent: float, ends: bool
) -> None:
    """With a length penalty it may go on after the greedy sentence, for a longer one of a better score."""
    language = Language(seed, tokens, steps)
    beam, _ = search(language, SamplingParameters("beam", length_penalty=exponent), ends=ends)
    greedy: Sentence = ()
    while len(greedy) < steps and not (ends and END in greedy):
        greedy = (*greedy, int(language.after(greedy).argmax()))
    found = tuple(int(step["token"][0]) for step in beam.best())
    if found != greedy:
        assert exponent > 0.0
        assert len(found) > len(greedy)
        greedy_score = language.total(greedy) / penalty(len(greedy), exponent)
        assert language.total(found) / penalty(len(found), exponent) > greedy_score


@given(**cases, width=st.integers(1, 4))
def test_every_hypothesis_begins_with_the_prefix(
    seed: int, tokens: int, steps: int, exponent: float, ends: bool, width: int
) -> None:
    language = Language(seed, tokens, steps)
    prefix = tuple(np.random.default_rng(seed).integers(1, tokens, min(2, steps)).tolist())
    sampling = SamplingParameters("beam", width=width, length_penalty=exponent, n_best=width, prefix=prefix)
    beam, _ = search(language, sampling, ends=ends)
    for place, token in enumerate(prefix):
        step = beam.best()[place]
        assert set(step["token"].tolist()) == {token}
        np.testing.assert_allclose(np.asarray(step["log_probability"], "f8"), language.after(prefix[:place])[token])


def test_a_prefix_that_ends_is_the_only_hypothesis() -> None:
    beam, took = search(Language(1, 3, 4), SamplingParameters("beam", width=3, n_best=3, prefix=(1, END)))
    assert took == 2
    assert [step["token"].tolist() for step in beam.best()] == [[1], [END]]


def test_a_search_is_over_as_soon_as_nothing_unfinished_can_be_among_the_best() -> None:
    beam = Beam(SamplingParameters("beam", width=2, n_best=1), END, steps=10)
    assert not beam.advance([Candidates([END, 1, 2], [-2.0, -0.5, -1.0])] * 2, {}, lambda row: {})
    assert beam.advance([Candidates([END, 1, 2], [-0.1, -0.2, -3.0])] * 2, {}, lambda row: {})
    assert [step["token"].tolist() for step in beam.best()] == [[1], [END]]


def test_a_length_penalty_lets_a_search_go_on_for_a_longer_sentence() -> None:
    steps = [Candidates([END, 1], [-1.0, -0.6]), Candidates([END, 1], [-0.7, -0.9]), Candidates([END], [-0.01])]
    best = {}
    for exponent in (0.0, 5.0):
        beam = Beam(SamplingParameters("beam", width=2, length_penalty=exponent), END, steps=3)
        for offer in steps:
            if beam.advance([offer, offer], {}, lambda row: {}):
                break
        best[exponent] = [int(step["token"][0]) for step in beam.best()]
    assert best == {0.0: [END], 5.0: [1, 1, END]}


def test_a_row_stays_where_its_best_child_does() -> None:
    beam = Beam(SamplingParameters("beam", width=3), END, steps=9)
    beam.advance([Candidates([1, 2, 3], [-1.0, -2.0, -3.0])] * 3, {}, lambda row: {})
    assert (beam.parents, beam.tokens) == ([0, 0, 0], [1, 2, 3])
    best_of_the_second = [Candidates([4], [-9.0]), Candidates([5, 6], [-1.0, -1.5]), Candidates([7], [-0.1])]
    beam.advance(best_of_the_second, {}, lambda row: {})
    assert (beam.parents, beam.tokens) == ([1, 1, 2], [6, 5, 7])


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_a_graph_that_makes_nothing_possible_is_answered_with_something(value: float) -> None:
    beam = Beam(SamplingParameters("beam", width=2, n_best=2), END, steps=3)
    for _ in range(3):
        if over := beam.advance([Candidates([1, 2, END], [value] * 3)] * 2, {}, lambda row: {}):
            break
    assert over
    assert beam.best()[-1]["score"].tolist() == [-np.inf]
