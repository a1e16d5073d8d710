"""Beam search: of all continuations of the unfinished hypotheses of a request, so many of the best go on.

Each unfinished hypothesis is a row. One is finished when the end token is among the best ``width`` continuations, and
all are at the last step. Scores are log-probabilities over the length penalty ((5 + n) / 6)^a of n tokens, the end
token counted (Wu et al., arXiv:1609.08144, equation 14, without its coverage).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from service.engine.decoding import Choosing
from service.engine.sampling import Array
from service.engine.tensors import Tensor

_IMPOSSIBLE = -math.inf


class Continuation(NamedTuple):
    """A token after the hypothesis of a row; ``total`` is the log-probability of all its tokens."""

    total: float
    row: int
    token: int
    log_probability: float


class Offer(NamedTuple):
    """The continuations of one row that may be among the best: its likeliest tokens, and the end token."""

    tokens: Sequence[int]
    log_probabilities: Sequence[float]


class Finished(NamedTuple):
    """A hypothesis that goes no further: its last step, its last token, and what its row answered there."""

    score: float
    step: int
    last: Continuation
    answers: Mapping[str, Tensor]


class _Step(NamedTuple):
    """The past of the rows after a step: from which row each came, by which token, and what all rows emitted."""

    parents: list[int]
    tokens: list[int]
    log_probabilities: list[float]
    emitted: Mapping[str, Tensor]


class Beam:
    """The search of one request: `advance` it by each step, until it is over and `best` has its hypotheses."""

    def __init__(self, choosing: Choosing, end: int | None, steps: int) -> None:
        self._choosing = choosing
        self._end = end
        self._steps = steps
        self._totals = {0: 0.0}  # of the rows with a hypothesis: at first all rows are alike, and one counts
        self._past: list[_Step] = []
        self._finished: list[Finished] = []

    @property
    def step(self) -> int:
        """How many steps were taken."""
        return len(self._past)

    @property
    def longest(self) -> int:
        """The steps of the longest of the best hypotheses."""
        return max(finished.step for finished in self._finished)

    @property
    def parents(self) -> Sequence[int]:
        """The row from which each row goes on after the last step."""
        return self._past[-1].parents

    @property
    def tokens(self) -> Sequence[int]:
        """The token that each row goes on with."""
        return self._past[-1].tokens

    def advance(
        self, offers: Sequence[Offer], emitted: Mapping[str, Tensor], answers: Callable[[int], Mapping[str, Tensor]]
    ) -> bool:
        """Take the best continuations; whether the search is over.

        Args:
            offers: of each row, with the ``width`` likeliest tokens at least.
            emitted: what the rows emitted in this step, (rows, ...).
            answers: called with a row, gives what it answered in this step.
        """
        last = self.step + 1 == self._steps
        width = self._choosing.width
        going: list[Continuation] = []
        for rank, continuation in enumerate(self._ranked(offers)):
            if last or continuation.token == self._end:
                if rank < width:
                    self._finish(continuation, answers)
            elif len(going) < width:
                going.append(continuation)
        self._place(going, emitted)
        return not going or self._settled(going[0].total)

    def best(self) -> list[dict[str, Tensor]]:
        """What the best hypotheses emitted, step by step, (hypotheses, ...), the best first; with the last, answers.

        One that is shorter than others repeats its last values. ``score`` is among the answers.
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

    def _ranked(self, offers: Sequence[Offer]) -> list[Continuation]:
        """Possible continuations, the best first; where a graph leaves none possible, some impossible one."""
        found = []
        for row, total in self._totals.items():
            said = zip(*offers[row], strict=True)
            found += [Continuation(_sum(total, added), row, token, added) for token, added in said]
        found.sort(key=attrgetter("total"), reverse=True)
        return [one for one in found if one.total > _IMPOSSIBLE] or found[:1]

    def _finish(self, continuation: Continuation, answers: Callable[[int], Mapping[str, Tensor]]) -> None:
        step = self.step + 1
        score = continuation.total / self._penalty(step)
        self._finished.append(Finished(score, step, continuation, answers(continuation.row)))
        self._finished.sort(key=attrgetter("score"), reverse=True)
        del self._finished[self._choosing.n_best :]

    def _settled(self, total: float) -> bool:
        """Whether nothing unfinished, the best of which has this ``total``, can still be among the n best.

        A total only falls, so what it is over the largest penalty is more than any that goes on will have.
        """
        if len(self._finished) < self._choosing.n_best:
            return False
        return self._finished[-1].score >= total / self._penalty(self._steps)

    def _penalty(self, tokens: int) -> float:
        return float(((5 + tokens) / 6) ** self._choosing.length_penalty)

    def _place(self, going: Sequence[Continuation], emitted: Mapping[str, Tensor]) -> None:
        """A row for each: the parent's own for its best child, so that few rows' states move."""
        rows = range(self._choosing.width)
        placed: dict[int, Continuation] = {}
        for one in going:
            placed.setdefault(one.row, one)
        free = (row for row in rows if row not in placed)
        for one in going:
            if placed[one.row] is not one:
                placed[next(free)] = one
        # A row without a hypothesis steps along, and needs a token that there is.
        spare = going[0].token if going else 0
        went = [placed.get(row, Continuation(_IMPOSSIBLE, row, spare, _IMPOSSIBLE)) for row in rows]
        said = [one.log_probability for one in went]
        self._past.append(_Step([one.row for one in went], [one.token for one in went], said, emitted))
        self._totals = {row: placed[row].total for row in sorted(placed)}

    def _history(self, finished: Finished) -> list[dict[str, Array]]:
        """What the hypothesis emitted, from its first step to its last."""
        steps = []
        token, said, row = finished.last.token, finished.last.log_probability, finished.last.row
        for step in reversed(range(finished.step)):
            emitted = {name: values[row] for name, values in self._past[step].emitted.items()}
            steps.append({**emitted, "token": np.int64(token), "log_probability": np.float32(said)})
            if step:
                before = self._past[step - 1]
                token, said, row = before.tokens[row], before.log_probabilities[row], before.parents[row]
        return steps[::-1]


def _sum(total: float, added: float) -> float:
    """Impossible where either is no number."""
    both = total + added
    return both if both == both else _IMPOSSIBLE
