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


def say(
    engine: Engine, image: NDArray[Any] = BLACK, steps: int = 8, seed: int = 1, **wishes: Any
) -> asyncio.Task[list[Emission]]:
    """A caller who listens to the captions of an image."""
    inputs = {"image": image}
    return stream(engine, "words", inputs, steps=steps, seed=seed, decoding=DecodingOptions(**wishes))


def rows(emissions: Sequence[Emission]) -> list[list[int]]:
    """The tokens of each row."""
    return tokens(outputs(emissions))


def outputs(emissions: Sequence[Emission]) -> list[Tensors]:
    """What each step gave."""
    return [emission.outputs for emission in emissions]


def tokens(given: Sequence[Tensors]) -> list[list[int]]:
    """Those each row was given, step by step."""
    said: list[list[int]] = np.stack([step["token"] for step in given], axis=1).tolist()
    return said


def sentence(said: list[int]) -> list[int]:
    """Up to its end."""
    return said[: said.index(END) + 1] if END in said else said


def check_row(found: Sequence[Tensors], row: int, image: NDArray[Any] = BLACK[0], exponent: float = 0.0) -> None:
    """The numbers that a row was given, step by step, are those of its own tokens, and so are its states."""
    said = sentence(tokens(found)[row])
    before = [START, *said[:-1]]
    own = np.array([log_probabilities(last, image)[token] for last, token in zip(before, said, strict=True)])
    assert_close(np.array([step["log_probability"][row] for step in found[: len(said)]]), own)
    assert_close(np.stack([step["attention"][row] for step in found[: len(said)]]), attentions()[before])
    history = [*[-1] * HISTORY, *before][-HISTORY:]
    assert found[-1]["next_history"][row].tolist() == history
    assert found[-1]["next_count"][row] == len(said)
    wanted = own.sum() / ((5 + len(said)) / 6) ** exponent
    np.testing.assert_allclose(found[-1]["score"][row], wanted, rtol=1e-4)
