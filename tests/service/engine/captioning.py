"""Callers of the captioner of `tests.step_packages.words`, and what each row of an answer must be."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine import DecodingOptions, Emission, Engine
from service.engine.tensors import Tensors
from tests.packages import assert_close
from tests.service.engine.asking import stream
from tests.step_packages.words import BLACK, END, HISTORY, START, attentions, log_probabilities


def describe(
    engine: Engine, image: NDArray[Any] = BLACK, steps: int = 8, seed: int = 1, **decoding: Any
) -> asyncio.Task[list[Emission]]:
    """A caller that reads the captions of an image."""
    inputs = {"image": image}
    return stream(engine, "words", inputs, steps=steps, seed=seed, decoding=DecodingOptions(**decoding))


def rows(emissions: Sequence[Emission]) -> list[list[int]]:
    """The tokens of each row."""
    return tokens(outputs(emissions))


def outputs(emissions: Sequence[Emission]) -> list[Tensors]:
    """What each step gave."""
    return [emission.outputs for emission in emissions]


def tokens(given: Sequence[Tensors]) -> list[list[int]]:
    """The tokens of each row, from what each step gave."""
    found: list[list[int]] = np.stack([step["token"] for step in given], axis=1).tolist()
    return found


def up_to_end(row_tokens: list[int]) -> list[int]:
    """The tokens of a row up to its end token."""
    return row_tokens[: row_tokens.index(END) + 1] if END in row_tokens else row_tokens


def check_row(found: Sequence[Tensors], row: int, image: NDArray[Any] = BLACK[0], exponent: float = 0.0) -> None:
    """Check that the numbers and states of a row are those of its own tokens, step by step."""
    row_tokens = up_to_end(tokens(found)[row])
    before = [START, *row_tokens[:-1]]
    own = np.array([log_probabilities(last, image)[token] for last, token in zip(before, row_tokens, strict=True)])
    assert_close(np.array([step["log_probability"][row] for step in found[: len(row_tokens)]]), own)
    assert_close(np.stack([step["attention"][row] for step in found[: len(row_tokens)]]), attentions()[before])
    history = [*[-1] * HISTORY, *before][-HISTORY:]
    assert found[-1]["next_history"][row].tolist() == history
    assert found[-1]["next_count"][row] == len(row_tokens)
    expected = own.sum() / ((5 + len(row_tokens)) / 6) ** exponent
    np.testing.assert_allclose(found[-1]["score"][row], expected, rtol=1e-4)
