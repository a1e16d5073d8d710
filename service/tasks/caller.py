"""The caller for whom images are decoded."""

from collections.abc import Callable
from typing import NamedTuple

from service.deadline import Deadline


def _uncounted(_: int) -> None:
    """Count nothing."""


class Caller(NamedTuple):
    """The request for which images are decoded and pictures drawn.

    Attributes:
        connection: connections get decoder threads in rotation, however many images each has sent.
        deadline: when the answer must be there; None for the configured time from now.
        still_runs: called with 1 when the caller has left and its work still runs, and with -1 when that work ends.
    """

    connection: str = ""
    deadline: Deadline | None = None
    still_runs: Callable[[int], None] = _uncounted


ANY_CALLER = Caller()
