"""Whose turn it is at the lanes: what a queue must be, and the round of those that have work."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from service.engine.gathering import Gathering
from service.engine.model import Model


class Run(NamedTuple):
    """One run of a graph, for the statistics; the times are in seconds."""

    rows: int
    requests: int
    input_s: float
    infer_s: float
    output_s: float


class Turn(Protocol):
    """What a lane does for a queue in one go, and what becomes of it on the loop.

    ``runs_again`` says, once it is answered or has failed, that some of it is in the queue again.
    """

    runs_again: bool

    @property
    def runs(self) -> list[Run]:
        """The runs of the graph it made, known once it is answered."""

    def run(self) -> None:
        """The lane's share."""

    def answer(self) -> None:
        """The loop's share, where `run` went well."""

    def fail(self, error: Exception) -> None:
        """The loop's share, where `run` ended with ``error``."""


class Queue(Protocol):
    """The requests before one graph of a model; true while a turn may be formed."""

    model: Model
    gathering: Gathering

    @property
    def quick(self) -> bool:
        """Whether the next turn takes less time than a hand-over to a lane."""

    def __bool__(self) -> bool: ...

    def form(self) -> Turn | None:
        """The next turn; None where all who waited have gone."""

    def form_ahead(self) -> None:
        """While a turn runs: prepare what of the next one is certain."""

    def ended(self) -> None:
        """A turn of this queue is over."""

    def close(self, error: Exception) -> None:
        """Answer everyone inside with ``error``."""


class Turns:
    """Queues that have work: those of the highest priority in turn, others when these have none."""

    def __init__(self) -> None:
        self._rounds: dict[int, deque[Queue]] = {}

    def __bool__(self) -> bool:
        return any(self._rounds.values())

    def add(self, queue: Queue) -> None:
        """Give the queue a place at the end of its round, unless it has one."""
        priority = queue.model.card.serving.priority
        if priority not in self._rounds:
            self._rounds = dict(sorted({**self._rounds, priority: deque[Queue]()}.items()))
        if queue not in self._rounds[priority]:
            self._rounds[priority].append(queue)

    def take(self, ready: Callable[[Queue], bool]) -> Queue | None:
        """The first queue that is ``ready``, if one is; every queue is asked, once."""
        found = [queue for queues in self._rounds.values() for queue in queues if ready(queue)]
        if not found:
            return None
        self._rounds[found[0].model.card.serving.priority].remove(found[0])
        return found[0]

    def next(self) -> Queue:
        """The queue whose turn it is.

        Raises:
            IndexError: none has work.
        """
        return next((queues for queues in self._rounds.values() if queues), deque()).popleft()
