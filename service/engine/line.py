"""The line before one model: who waits, in which order, and how many rows that is."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from service.errors import DeadlineExceeded, InvalidArgument, QueueFull
from service.package.serving import Serving


class Caller(Protocol):
    """Someone who waits with rows; ``level`` is the place's priority, 1 the highest."""

    rows: int
    taken: int
    level: int

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""

    def fail(self, error: Exception) -> None:
        """Answer with ``error``, unless the caller has gone."""


C = TypeVar("C", bound=Caller)

# So many who left may stand in the line before they are looked for.
SWEEP_AT = 64


class Line(Generic[C]):
    """Callers by priority, first come first served among equals.

    Those that outstay the queue timeout are refused or, where the card says ``continue``, wait behind all others.
    ``rows`` counts the rows of those whose caller still waits, those in a batch formed ahead of its run included; it
    is what admission bounds. ``callers`` counts those of whom no row is taken yet.
    """

    def __init__(self, name: str, serving: Serving, max_rows: int) -> None:
        batching = serving.dynamic_batching
        self.rows = 0
        self.callers = 0
        self._left = 0
        self._ahead: dict[C, int] = {}  # rows taken for a batch that has not begun to run
        self.name = name
        self._batching = batching
        self._policy = batching.default_queue_policy
        self._max_rows = self._policy.max_queue_size or max_rows
        self._levels: list[deque[C]] = [deque() for _ in range(batching.priority_levels + 1)]

    def __bool__(self) -> bool:
        return any(self._levels)

    def level(self, wanted: int) -> int:
        """The level of a request that asks for ``wanted``, 0 for the default one.

        Raises:
            InvalidArgument: the card has no such level.
        """
        levels = self._batching.priority_levels
        if not 0 <= wanted <= levels:
            raise InvalidArgument(
                f"model {self.name!r}: priority {wanted} came; 0 (the default) to {levels} are wanted"
            )
        return wanted or self._batching.default_priority_level

    def patience_s(self, wanted_s: float | None) -> float | None:
        """The longest wait to be taken: the card's, or a shorter one the request asks for; None: no limit."""
        default_s = self._policy.default_timeout_microseconds / 1e6 or None
        if not wanted_s or not self._policy.allow_timeout_override:
            return default_s
        return min(wanted_s, default_s or wanted_s)

    def admit(self, rows: int) -> None:
        """Let ``rows`` more in.

        Raises:
            QueueFull: so many wait already that they would be too many.
        """
        # A request larger than the whole line is let in where nobody waits: else it could never be.
        if self.rows + rows > self._max_rows and self.rows:
            raise QueueFull(
                f"model {self.name!r}: {self.rows} rows wait, {rows} came, {self._max_rows} may; try again later"
            )

    def join(self, caller: C) -> None:
        """Enter at the end of the caller's level."""
        self._levels[caller.level - 1].append(caller)
        self.rows += caller.rows
        self.callers += 1

    def leave(self, caller: C) -> None:
        """Give back the places of rows that do not run yet; called once for every caller that joined.

        The caller itself is skipped when its turn comes, as taking it out would cost a search; but a turn may never
        come, behind a level that always has work, so once more have left than wait all of them are taken out.
        """
        self.rows -= caller.rows - caller.taken + self._ahead.pop(caller, 0)
        self.callers -= not caller.taken
        self._left += caller.taken < caller.rows
        if self._left > max(self.rows, SWEEP_AT):
            self._left = 0
            self._levels = [deque(caller for caller in level if not caller.gone) for level in self._levels]

    def overdue(self, caller: C, waited_s: float) -> None:
        """The caller's patience is at its end."""
        if caller.taken:
            return
        if self._policy.timeout_action == "reject":
            caller.fail(DeadlineExceeded(f"model {self.name!r}: not taken from the queue in {waited_s:g} s"))
        else:
            caller.level = len(self._levels)

    def waiting(self) -> Iterator[C]:
        """Take out who still waits, one after another; `put_back` whom you do not serve."""
        for level, callers in enumerate(self._levels, start=1):
            while callers:
                caller = callers.popleft()
                if caller.gone:
                    continue
                if caller.level != level:
                    self._levels[caller.level - 1].append(caller)
                else:
                    yield caller

    def put_back(self, callers: Iterable[C]) -> None:
        """Let those taken out, in that order, wait on at the head of their levels."""
        for caller in reversed(list(callers)):
            self._levels[caller.level - 1].appendleft(caller)

    def took(self, caller: C, rows: int) -> None:
        """``rows`` of the caller's are in a run."""
        self.callers -= not caller.taken
        caller.taken += rows
        self.rows -= rows

    def wait_ahead(self, caller: C, rows: int) -> None:
        """``rows`` just taken are in a batch formed ahead of its run: they still wait."""
        self._ahead[caller] = rows
        self.rows += rows

    def begin_ahead(self, caller: C) -> None:
        """The batch formed ahead runs now; of a caller that has left there is nothing to count."""
        self.rows -= self._ahead.pop(caller, 0)

    def fail(self, error: Exception) -> None:
        """Answer everyone who waits with ``error``."""
        for caller in self.waiting():
            caller.fail(error)
