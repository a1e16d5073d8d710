"""What lanes do: work items, the queues that form them, and the runs they make."""

from typing import NamedTuple, Protocol

from service.engine.gathering import Gathering
from service.engine.model import Model


class Run(NamedTuple):
    """One run of a graph, for the statistics; times are in seconds."""

    rows: int
    requests: int
    input_s: float
    infer_s: float
    output_s: float


class WorkItem(Protocol):
    """One piece of work for a lane, such as a batch, and what the event loop does with its result.

    Attributes:
        runs_again: known after `answer` or `fail`: whether some of its requests are in the queue again.
    """

    runs_again: bool

    @property
    def runs(self) -> list[Run]:
        """The runs of the graph that it made; known after `answer` or `fail`."""

    def run(self) -> None:
        """Do the work, on a lane."""

    def answer(self) -> None:
        """Hand out the results, on the event loop, after `run` has returned."""

    def fail(self, error: Exception) -> None:
        """Handle ``error``, which `run` raised, on the event loop."""


class WorkQueue(Protocol):
    """The requests that wait for one graph of a model; true while a work item can be formed."""

    model: Model
    gathering: Gathering

    @property
    def quick(self) -> bool:
        """Whether the next work item takes less time than handing it to a lane."""

    def __bool__(self) -> bool: ...

    def form(self) -> WorkItem | None:
        """Form the next work item; None if all waiting requests have gone."""

    def form_ahead(self) -> None:
        """Prepare what is certain about the next work item, while one runs."""

    def ended(self) -> None:
        """A work item of this queue has ended on its lane."""

    def close(self, error: Exception) -> None:
        """Answer every request with ``error``."""
