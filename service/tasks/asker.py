"""For whom an image is decoded."""

from collections.abc import Callable
from typing import NamedTuple

from service.deadline import Deadline


def _uncounted(_: int) -> None:
    """Nobody counts what still runs."""


class Asker(NamedTuple):
    """The request that images are decoded for, and pictures drawn.

    Attributes:
        connection: connections that wait for a decoder get one in turn, however much each of them has sent.
        deadline: when the answer must be there; None for the configured limit, from when the work is asked for.
        still_runs: called with 1 when work goes on that nobody waits for any longer, and with -1 when that has ended.
    """

    connection: str = ""
    deadline: Deadline | None = None
    still_runs: Callable[[int], None] = _uncounted


ANYBODY = Asker()
