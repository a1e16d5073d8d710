"""Chooses every row's next token, right after the step that gave the log-probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np

from service.engine.beam import Candidates
from service.engine.sampling import DRAWS, Array, Limits, likeliest, sample
from service.engine.sampling_parameters import SamplingParameters
from service.engine.sequence_group import Row
from service.engine.tensors import Tensor
from service.engine.token_numbers import TokenNumbers
from service.package import Loop
from service.package.token_choice import LOG_PROBABILITY, SCORE, TOKEN, TokenChoice

# For the row in each slot: how its token is chosen.
_HOW = np.dtype(
    [
        ("forced", "i8"),  # how many tokens its prefix has
        ("width", "i8"),  # of its beam search; 0 without
        ("sampled", "?"),
        ("temperature", "f4"),
        ("top_k", "i8"),
        ("top_p", "f8"),
    ]
)
# For how many steps a row's random numbers are drawn at once.
_AHEAD = 32


class Sampler:
    """Chooses the tokens of all rows of a step loop.

    Attributes:
        output: the step graph's output that holds the log-probabilities.
        end: the token that ends a row; None if there is none.
        given: the chosen tokens, their log-probabilities and scores, by name and slot.
        candidates: by slot, what beam search may choose from.
    """

    def __init__(self, loop: Loop, choice: TokenChoice) -> None:
        slots = loop.max_batch
        self.output = choice.output
        self.end = loop.end_token
        self.candidates: dict[int, Candidates] = {}
        self._never = _slices(choice.never)
        self._vocabulary = choice.tokens(loop.step)
        self._how = np.zeros(slots, _HOW)
        self._tokens = np.zeros(slots, "i8")
        self._log_probabilities, self._scores = np.zeros(slots, "f4"), np.zeros(slots, "f4")
        self._totals = np.zeros(slots, "f8")
        self._uniform: Array = np.zeros((slots, _AHEAD, DRAWS) if choice.sample else (slots, 0, 0))
        self._numbers = TokenNumbers(_AHEAD * DRAWS)
        self._by_slot = (self._how, self._tokens, self._log_probabilities, self._scores, self._totals, self._uniform)
        self._slots = np.arange(slots)
        self._planned = 0  # how many rows the plan is for; 0 if it is outdated
        self.given: Mapping[str, Tensor] = {
            TOKEN.name: self._tokens,
            LOG_PROBABILITY.name: self._log_probabilities,
            SCORE.name: self._scores,
        }

    def place(self, slot: int, sampling: SamplingParameters) -> None:
        """Note how the row that got the slot chooses its tokens."""
        width = sampling.width if sampling.strategy == "beam" else 0
        how = (len(sampling.prefix), width, sampling.strategy == "sample")
        self._how[slot] = (*how, sampling.temperature, sampling.top_k, sampling.top_p)
        self._totals[slot] = 0
        self._planned = 0

    def move(self, slot: int, to: int) -> None:
        """Note that the row of ``slot`` moved to another one."""
        for values in self._by_slot:
            values[to] = values[slot]
        self._planned = 0

    def replace_tokens(self, slots: Sequence[int], tokens: Sequence[int]) -> None:
        """Let the rows of these slots continue with these tokens in place of those that were chosen."""
        self._tokens[slots] = tokens

    def choose(self, log_probabilities: Array, rows: Sequence[Row], taken: Array) -> None:
        """Choose the next token of ``rows``, which are in the first slots.

        Args:
            log_probabilities: (rows, tokens), from the graph; they are overwritten.
            rows: the row in each slot.
            taken: (rows,), how many steps each row has taken before this one.
        """
        count = len(rows)
        if count != self._planned:
            self._plan(count)
        forced: dict[int, int] = {}
        if self._most_forced:
            forcing = np.flatnonzero(taken < self._how["forced"][:count])
            forced = {slot: _prefix(rows[slot])[taken[slot]] for slot in forcing.tolist()}
        values = [log_probabilities[slot, token] for slot, token in forced.items()]
        for never in self._never:
            log_probabilities[:, never] = -np.inf
        tokens = self._chosen(log_probabilities, rows, taken)
        chosen = log_probabilities[self._slots[:count], tokens]
        for (slot, token), value in zip(forced.items(), values, strict=True):
            tokens[slot], chosen[slot] = token, value
        self._tokens[:count] = tokens
        self._log_probabilities[:count] = chosen
        totals = self._totals[:count]
        totals += chosen
        self._scores[:count] = totals
        if self._beams:
            self._find_candidates(log_probabilities, forced)

    def _plan(self, count: int) -> None:
        """Note what stays the same until a row comes, leaves or moves."""
        how = self._how[:count]
        self._most_forced = int(how["forced"].max())
        self._drawing = np.flatnonzero(how["sampled"])
        drawn = how[self._drawing]
        self._limits = Limits(drawn["temperature"], drawn["top_k"], drawn["top_p"], self._vocabulary)
        widths = how["width"]
        self._beams = {int(width): np.flatnonzero(widths == width) for width in np.unique(widths) if width}
        self._planned = count

    def _chosen(self, log_probabilities: Array, rows: Sequence[Row], taken: Array) -> Array:
        """The token of each row: drawn, or the most probable."""
        drawing = self._drawing
        tokens: Array
        if not len(drawing):
            tokens = log_probabilities.argmax(1)
            return tokens
        place = taken[drawing] % _AHEAD
        for slot in drawing[place == 0].tolist():
            request = rows[slot].group.request
            numbers = self._numbers.of(request.seed, rows[slot].index, int(taken[slot]) // _AHEAD)
            self._uniform[slot] = numbers.reshape(_AHEAD, DRAWS)
        uniform = self._uniform[drawing, place]
        if len(drawing) == len(rows):
            return sample(log_probabilities, self._limits, uniform)
        tokens = log_probabilities.argmax(1)
        tokens[drawing] = sample(log_probabilities[drawing], self._limits, uniform)
        return tokens

    def _find_candidates(self, log_probabilities: Array, forced: Mapping[int, int]) -> None:
        self.candidates = {
            slot: Candidates([token], [float(self._log_probabilities[slot])]) for slot, token in forced.items()
        }
        for width, places in self._beams.items():
            free = places[~np.isin(places, list(forced))] if forced else places
            self._find_likeliest(log_probabilities, free, width)

    def _find_likeliest(self, log_probabilities: Array, places: Array, width: int) -> None:
        scores = log_probabilities if len(places) == len(log_probabilities) else log_probabilities[places]
        ends = None if self.end is None else scores[:, self.end].copy()
        if ends is not None:
            scores[:, self.end] = -np.inf
        found, values = likeliest(scores, min(width, scores.shape[1]))
        tokens, said = found.tolist(), values.tolist()
        if ends is not None:
            for row_tokens, row_said, end in zip(tokens, said, ends.tolist(), strict=True):
                row_tokens.append(self.end)
                row_said.append(end)
        self.candidates |= zip(places.tolist(), map(Candidates, tokens, said), strict=True)


def _prefix(row: Row) -> Sequence[int]:
    sampling = row.group.request.sampling
    assert sampling is not None  # a row of a loop with a choice
    return sampling.prefix


def _slices(tokens: Sequence[int]) -> list[slice]:
    """The tokens as ranges: setting a range takes less time than setting a list of tokens."""
    found: list[slice] = []
    for token in sorted(tokens):
        if found and found[-1].stop == token:
            found[-1] = slice(found[-1].start, token + 1)
        else:
            found.append(slice(token, token + 1))
    return found
