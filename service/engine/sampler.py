"""Chooses every row's next token, right after the step that gave the log-probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np

from service.engine.beam import Candidates
from service.engine.sampling import Array, likeliest, sample
from service.engine.sampling_parameters import SamplingParameters
from service.engine.sequence_group import Row
from service.engine.tensors import Tensor
from service.package import Loop
from service.package.token_choice import CHOSEN, TokenChoice

# For the row in each slot: how its token is chosen, and which token was chosen.
_SLOT = np.dtype(
    [
        ("forced", "i8"),  # how many tokens its prefix has
        ("width", "i8"),  # of its beam search; 0 without
        ("sampled", "?"),
        ("temperature", "f4"),
        ("top_k", "i8"),
        ("top_p", "f8"),
        ("token", "i8"),
        ("log_probability", "f4"),
        ("total", "f8"),
        ("score", "f4"),
    ]
)


class Sampler:
    """Chooses the tokens of all rows of a step loop.

    Attributes:
        output: the step graph's output that holds the log-probabilities.
        end: the token that ends a row; None if there is none.
        given: the chosen tokens, their log-probabilities and scores, by name and slot.
        candidates: by slot, what beam search may choose from.
    """

    def __init__(self, loop: Loop, choice: TokenChoice) -> None:
        self.output = choice.output
        self.end = loop.end_token
        self.candidates: dict[int, Candidates] = {}
        self._never = choice.never
        self._slots = np.zeros(loop.max_batch, _SLOT)
        self._numbers = np.arange(loop.max_batch)
        self.given: Mapping[str, Tensor] = {spec.name: self._slots[spec.name] for spec in CHOSEN}

    def place(self, slot: int, sampling: SamplingParameters) -> None:
        """Note how the row that got the slot chooses its tokens."""
        width = sampling.width if sampling.strategy == "beam" else 0
        how = (len(sampling.prefix), width, sampling.strategy == "sample")
        self._slots[slot] = (*how, sampling.temperature, sampling.top_k, sampling.top_p, 0, 0, 0, 0)

    def move(self, slot: int, to: int) -> None:
        """Note that the row of ``slot`` moved to another one."""
        self._slots[to] = self._slots[slot]

    def replace_tokens(self, slots: Sequence[int], tokens: Sequence[int]) -> None:
        """Let the rows of these slots continue with these tokens in place of those that were chosen."""
        self._slots["token"][slots] = tokens

    def choose(self, log_probabilities: Array, rows: Sequence[Row], taken: Array) -> None:
        """Choose the next token of ``rows``, which are in the first slots.

        Args:
            log_probabilities: (rows, tokens), from the graph; they are overwritten.
            rows: the row in each slot.
            taken: (rows,), how many steps each row has taken before this one.
        """
        slots = self._slots[: len(rows)]
        forcing = taken < slots["forced"]
        forced, values = self._forced(log_probabilities, forcing, rows, taken) if forcing.any() else ({}, [])
        for token in self._never:
            log_probabilities[:, token] = -np.inf
        tokens = log_probabilities.argmax(1)
        if slots["sampled"].any():
            drawing = np.flatnonzero(slots["sampled"])
            tokens[drawing] = self._drawn(log_probabilities, drawing, rows)
        chosen = log_probabilities[self._numbers[: len(rows)], tokens]
        for (slot, token), value in zip(forced.items(), values, strict=True):
            tokens[slot], chosen[slot] = token, value
        slots["token"], slots["log_probability"] = tokens, chosen
        slots["total"] += chosen
        slots["score"] = slots["total"]
        if slots["width"].any():
            self._find_candidates(log_probabilities, slots, forcing)

    def _forced(
        self, log_probabilities: Array, forcing: Array, rows: Sequence[Row], taken: Array
    ) -> tuple[dict[int, int], list[float]]:
        """The next token of each prefix, by slot, and their log-probabilities."""
        forced = {slot: _prefix(rows[slot])[taken[slot]] for slot in np.flatnonzero(forcing).tolist()}
        return forced, [log_probabilities[slot, token] for slot, token in forced.items()]

    def _drawn(self, log_probabilities: Array, drawing: Array, rows: Sequence[Row]) -> Array:
        slots = self._slots[drawing]
        uniform = np.array([rows[slot].generator.random() for slot in drawing.tolist()])
        return sample(log_probabilities[drawing], slots["temperature"], slots["top_k"], slots["top_p"], uniform)

    def _find_candidates(self, log_probabilities: Array, slots: Array, forcing: Array) -> None:
        self.candidates = {
            slot: Candidates([int(slots["token"][slot])], [float(slots["log_probability"][slot])])
            for slot in np.flatnonzero(forcing).tolist()
        }
        free = slots["width"] * ~forcing
        for width in np.unique(free[free > 0]):
            self._find_likeliest(log_probabilities, np.flatnonzero(free == width), int(width))

    def _find_likeliest(self, log_probabilities: Array, places: Array, width: int) -> None:
        scores = log_probabilities[places]
        aside = [] if self.end is None else [self.end]
        ends = scores[:, aside]
        scores[:, aside] = -np.inf
        found, values = likeliest(scores, min(width, scores.shape[1]))
        values = np.concatenate([values, ends], axis=1)
        found = np.concatenate([found, np.broadcast_to(np.array(aside, "i8"), ends.shape)], axis=1)
        for slot, tokens, said in zip(places.tolist(), found.tolist(), values.tolist(), strict=True):
            self.candidates[slot] = Candidates(tokens, said)


def _prefix(row: Row) -> Sequence[int]:
    sampling = row.group.request.sampling
    assert sampling is not None  # a row of a loop with a choice
    return sampling.prefix
