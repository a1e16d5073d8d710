"""Beam search: at each step, the ``width`` best continuations of a request's unfinished hypotheses go on.

Each unfinished hypothesis is a row. A hypothesis is finished when its continuation by the end token is among the
``width`` best; at the last step all are. The score is the log-probability divided by the length penalty
((5 + n) / 6)^a of n tokens, including the end token (Wu et al., arXiv:1609.08144, equation 14, without coverage).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import NamedTuple

import numpy as np

from service.engine.sampling import Array
from service.engine.sampling_parameters import SamplingParameters
from service.engine.tensors import Tensor

_IMPOSSIBLE = -math.inf


# A token after the hypothesis of a row: the log-probability of all its tokens, the row, the token, and its own
# log-probability. A plain tuple, because making a named one takes longer than all else that is done with most of them.
Continuation = tuple[float, int, int, float]


class Candidates(NamedTuple):
    """The continuations of one row that may be among the best: its likeliest tokens and the end token."""

    tokens: Sequence[int]
    log_probabilities: Sequence[float]


class Finished(NamedTuple):
    """A finished hypothesis: its last step, its last token, and what its row answered there."""

    score: float
    step: int
    last: Continuation
    answers: Mapping[str, Tensor]


class _Step(NamedTuple):
    """What a step did: the row and the token from which each row continues, and what all rows emitted.

    The values of a row are in ``emitted`` at the row's number in ``places``.
    """

    parents: list[int]
    tokens: list[int]
    log_probabilities: list[float]
    emitted: Mapping[str, Tensor]
    places: Sequence[int]


class Beam:
    """The search of one request: call `advance` after each step until it is over; then `best` has the hypotheses."""

    def __init__(self, sampling: SamplingParameters, end: int | None, steps: int) -> None:
        self._sampling = sampling
        self._end = end
        self._steps = steps
        self._totals = {0: 0.0}  # by row with a hypothesis; all rows are the same at first, so only one counts
        self._past: list[_Step] = []
        self._finished: list[Finished] = []

    @property
    def step(self) -> int:
        """How many steps have been taken."""
        return len(self._past)

    @property
    def longest(self) -> int:
        """The steps of the longest of the best hypotheses."""
        return max(finished.step for finished in self._finished)

    @property
    def parents(self) -> Sequence[int]:
        """For each row, the row whose state it continues from."""
        return self._past[-1].parents

    @property
    def tokens(self) -> Sequence[int]:
        """For each row, the token it continues with."""
        return self._past[-1].tokens

    def advance(
        self,
        candidates: Sequence[Candidates],
        emitted: Mapping[str, Tensor],
        answers: Callable[[int], Mapping[str, Tensor]],
        places: Sequence[int] | None = None,
    ) -> bool:
        """Continue with the best continuations, and return whether the search is over.

        Args:
            candidates: for each row, at least its ``width`` likeliest tokens.
            emitted: what the rows emitted in this step, and maybe others; kept until the search is over.
            answers: gives what a row answered in this step.
            places: for each row, where it is in ``emitted``; None if it is at its own number.
        """
        last = self.step + 1 == self._steps
        width, end = self._sampling.width, self._end
        going: list[Continuation] = []
        for rank, continuation in enumerate(self._ranked(candidates)):
            if last or continuation[2] == end:
                if rank < width:
                    self._finish(continuation, answers)
            elif len(going) < width:
                going.append(continuation)
            elif rank >= width:
                break
        self._place(going, emitted, range(width) if places is None else places)
        return not going or self._settled(going[0][0])

    def best(self) -> list[dict[str, Tensor]]:
        """What the best hypotheses emitted in each step, (hypotheses, ...) each, the best hypothesis first.

        A hypothesis that is shorter than others repeats its last values. The last step also has the answers, among them
        ``score``.
        """
        histories = [self._history(finished) for finished in self._finished]
        steps = []
        for step in range(self.longest):
            now = [history[min(step, len(history) - 1)] for history in histories]
            steps.append({name: np.stack([values[name] for values in now]) for name in now[0]})
        answers = self._finished[0].answers
        steps[-1] |= {name: np.stack([found.answers[name] for found in self._finished]) for name in answers}
        steps[-1]["score"] = np.array([found.score for found in self._finished], "f4")
        return steps

    def _ranked(self, candidates: Sequence[Candidates]) -> list[Continuation]:
        """The possible continuations, the best first; one impossible one if the graph made all impossible."""
        found = [
            (total + added, row, token, added)
            for row, total in self._totals.items()
            for token, added in zip(*candidates[row], strict=True)
            if total + added > _IMPOSSIBLE  # a sum that is not a number is not, either
        ]
        if not found:
            row = next(iter(self._totals))
            return [(_IMPOSSIBLE, row, candidates[row].tokens[0], candidates[row].log_probabilities[0])]
        found.sort(key=itemgetter(0), reverse=True)
        return found

    def _finish(self, continuation: Continuation, answers: Callable[[int], Mapping[str, Tensor]]) -> None:
        step = self.step + 1
        score = continuation[0] / self._penalty(step)
        self._finished.append(Finished(score, step, continuation, answers(continuation[1])))
        self._finished.sort(key=attrgetter("score"), reverse=True)
        del self._finished[self._sampling.n_best :]

    def _settled(self, total: float) -> bool:
        """Whether no unfinished hypothesis, the best of which has this ``total``, can still become one of the n best.

        A total only falls, so no continuation can score more than the total divided by the largest penalty.
        """
        if len(self._finished) < self._sampling.n_best:
            return False
        return self._finished[-1].score >= total / self._penalty(self._steps)

    def _penalty(self, tokens: int) -> float:
        return float(((5 + tokens) / 6) ** self._sampling.length_penalty)

    def _place(self, going: Sequence[Continuation], emitted: Mapping[str, Tensor], places: Sequence[int]) -> None:
        """Give each continuation a row: the best of each parent keeps the parent's, so that few states move."""
        width = self._sampling.width
        # A row without a hypothesis still takes steps, and needs a valid token.
        spare = going[0][2] if going else 0
        parents, tokens, said = list(range(width)), [spare] * width, [_IMPOSSIBLE] * width
        totals: dict[int, float] = {}
        others: list[Continuation] = []
        for one in going:
            if one[1] in totals:
                others.append(one)
            else:
                totals[one[1]], _, tokens[one[1]], said[one[1]] = one
        free = (row for row in range(width) if row not in totals)
        for one, row in zip(others, list(free), strict=False):
            totals[row], parents[row], tokens[row], said[row] = one
        self._past.append(_Step(parents, tokens, said, emitted, places))
        self._totals = dict(sorted(totals.items()))

    def _history(self, finished: Finished) -> list[dict[str, Array]]:
        """What the hypothesis emitted in each step."""
        steps = []
        _, row, token, said = finished.last
        for step in reversed(range(finished.step)):
            taken = self._past[step]
            emitted = {name: values[taken.places[row]] for name, values in taken.emitted.items()}
            steps.append({**emitted, "token": np.int64(token), "log_probability": np.float32(said)})
            if step:
                before = self._past[step - 1]
                token, said, row = before.tokens[row], before.log_probabilities[row], before.parents[row]
        return steps[::-1]
