"""The choice of every row's next token, right after the step that gave its log-probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np

from service.engine.beam import Offer
from service.engine.decoding import Choosing
from service.engine.sampling import Array, likeliest, sample
from service.engine.tenancy import Row
from service.engine.tensors import Tensor
from service.package import Loop
from service.package.choice import CHOSEN, Choice

# By what the row of a slot chooses, and what it chose.
_SLOT = np.dtype(
    [
        ("forced", "i8"),  # tokens of the prefix
        ("width", "i8"),  # of a beam; 0 for none
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


class Chooser:
    """Chooses for the rows of a loop that has a choice.

    What they chose lies in ``given``, by name and slot; what beams may choose from in ``offers``, by slot.
    """

    def __init__(self, loop: Loop, choice: Choice) -> None:
        self.output = choice.output
        self.end = loop.end_token
        self.offers: dict[int, Offer] = {}
        self._never = choice.never
        self._slots = np.zeros(loop.max_batch, _SLOT)
        self._numbers = np.arange(loop.max_batch)
        self.given: Mapping[str, Tensor] = {spec.name: self._slots[spec.name] for spec in CHOSEN}

    def place(self, slot: int, choosing: Choosing) -> None:
        """A row that chooses so has the slot now."""
        width = choosing.width if choosing.strategy == "beam" else 0
        asked = (len(choosing.prefix), width, choosing.strategy == "sample")
        self._slots[slot] = (*asked, choosing.temperature, choosing.top_k, choosing.top_p, 0, 0, 0, 0)

    def move(self, slot: int, to: int) -> None:
        """The row of a slot has another one now."""
        self._slots[to] = self._slots[slot]

    def settle(self, slots: Sequence[int], tokens: Sequence[int]) -> None:
        """The rows of these slots go on with these tokens, whatever was chosen."""
        self._slots["token"][slots] = tokens

    def choose(self, log_probabilities: Array, rows: Sequence[Row], taken: Array) -> None:
        """Choose for the rows of the first slots, which so far have ``taken`` (rows,) steps.

        ``log_probabilities`` (rows, tokens) are those of the graph, and are spoiled.
        """
        slots = self._slots[: len(rows)]
        forcing = taken < slots["forced"]
        forced, said = self._forced(log_probabilities, forcing, rows, taken) if forcing.any() else ({}, [])
        for token in self._never:
            log_probabilities[:, token] = -np.inf
        tokens = log_probabilities.argmax(1)
        if slots["sampled"].any():
            drawing = np.flatnonzero(slots["sampled"])
            tokens[drawing] = self._drawn(log_probabilities, drawing, rows)
        chosen = log_probabilities[self._numbers[: len(rows)], tokens]
        for (slot, token), value in zip(forced.items(), said, strict=True):
            tokens[slot], chosen[slot] = token, value
        slots["token"], slots["log_probability"] = tokens, chosen
        slots["total"] += chosen
        slots["score"] = slots["total"]
        if slots["width"].any():
            self._offer(log_probabilities, slots, forcing)

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

    def _offer(self, log_probabilities: Array, slots: Array, forcing: Array) -> None:
        self.offers = {
            slot: Offer([int(slots["token"][slot])], [float(slots["log_probability"][slot])])
            for slot in np.flatnonzero(forcing).tolist()
        }
        free = slots["width"] * ~forcing
        for width in np.unique(free[free > 0]):
            self._offer_likeliest(log_probabilities, np.flatnonzero(free == width), int(width))

    def _offer_likeliest(self, log_probabilities: Array, places: Array, width: int) -> None:
        scores = log_probabilities[places]
        aside = [] if self.end is None else [self.end]
        ends = scores[:, aside]
        scores[:, aside] = -np.inf
        found, values = likeliest(scores, min(width, scores.shape[1]))
        values = np.concatenate([values, ends], axis=1)
        found = np.concatenate([found, np.broadcast_to(np.array(aside, "i8"), ends.shape)], axis=1)
        for slot, tokens, said in zip(places.tolist(), found.tolist(), values.tolist(), strict=True):
            self.offers[slot] = Offer(tokens, said)


def _prefix(row: Row) -> Sequence[int]:
    choosing = row.tenancy.tenant.choosing
    assert choosing is not None  # a row of a loop with a choice
    return choosing.prefix
