"""The line before one model: who waits, in which order, and how many rows that is."""

from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from service.errors import DeadlineExceeded, InvalidArgument, QueueFull
from service.package.serving import Serving


class Caller(Protocol):
    """Someone who waits with rows; ``level`` is the place's priority, 1 the highest."""

    rows: int
    taken: int
    level: int

    @property
    def signature(self) -> Hashable:
        """Callers of equal signature may share a run."""

    @property
    def gone(self) -> bool:
        """Whether nothing is to be begun for it any more."""

    def fail(self, error: Exception) -> None:
        """Answer with ``error``, unless the caller has gone."""


C = TypeVar("C", bound=Caller)

# So many who wait no more may stand in the line before they are looked for.
SWEEP_AT = 64


class _Level(Generic[C]):
    """Who waits at one level, in the order they came; and the same by signature, to find who may share a run."""

    def __init__(self, number: int) -> None:
        self.callers: deque[C] = deque()
        self._alike: dict[Hashable, deque[C]] = {}
        self._number = number

    def append(self, caller: C) -> None:
        self.callers.append(caller)
        alike = self._alike.get(caller.signature)
        if alike is None:
            alike = self._alike[caller.signature] = deque()
        alike.append(caller)

    def first(self) -> C | None:
        return self._first(self.callers)

    def first_of(self, signature: Hashable) -> C | None:
        """The first of that signature; where there is none, nothing is kept of the signature."""
        alike = self._alike.get(signature)
        if alike is None:
            return None
        found = self._first(alike)
        if found is None:
            del self._alike[signature]
        return found

    def sweep(self) -> None:
        """Take out who waits here no more."""
        callers, self.callers, self._alike = self.callers, deque(), {}
        for caller in callers:
            if self._waits(caller):
                self.append(caller)

    def _first(self, callers: deque[C]) -> C | None:
        while callers:
            if self._waits(callers[0]):
                return callers[0]
            callers.popleft()
        return None

    def _waits(self, caller: C) -> bool:
        """Not so where it has gone, all its rows are taken, or it waits at another level since."""
        return caller.taken < caller.rows and caller.level == self._number and not caller.gone


class Line(Generic[C]):
    """Callers by priority, first come first served among equals.

    To find the next, or the next of a signature, costs the same however many wait: who is taken or leaves stays where
    it stands, and is skipped. Those that outstay the queue timeout are refused or, where the card says ``continue``,
    wait behind all others. ``rows`` counts the rows of those whose caller still waits, those in a batch formed ahead of
    its run included; it is what admission bounds, together with those ``reserved``. ``callers`` counts those of whom no
    row is taken yet.
    """

    def __init__(self, name: str, serving: Serving, max_rows: int) -> None:
        batching = serving.dynamic_batching
        self.rows = 0
        self.callers = 0
        self.reserved = 0
        self._waiting = 0  # callers whose rows are not all taken
        self._ahead: dict[C, int] = {}  # rows taken for a batch that has not begun to run
        self.name = name
        self._batching = batching
        self._policy = batching.default_queue_policy
        self._max_rows = self._policy.max_queue_size or max_rows
        self._levels: list[_Level[C]] = [_Level(number) for number in range(1, batching.priority_levels + 2)]

    def __bool__(self) -> bool:
        return self.first() is not None

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
        waiting = self.rows + self.reserved
        if waiting + rows > self._max_rows and waiting:
            raise QueueFull(
                f"model {self.name!r}: {waiting} rows wait, {rows} came, {self._max_rows} may; try again later"
            )

    @contextmanager
    def reserve(self, rows: int) -> Iterator[None]:
        """Hold places for ``rows``, just admitted, that join when something else of their request is done."""
        self.reserved += rows
        try:
            yield
        finally:
            self.reserved -= rows

    def join(self, caller: C) -> None:
        """Enter at the end of the caller's level."""
        self._levels[caller.level - 1].append(caller)
        self.rows += caller.rows
        self.callers += 1
        self._waiting += 1

    def leave(self, caller: C) -> None:
        """Give back the places of rows that do not run yet; called once for every caller that joined, and has gone."""
        self.rows -= caller.rows - caller.taken + self._ahead.pop(caller, 0)
        self.callers -= not caller.taken
        if caller.taken < caller.rows:
            self._waits_no_more(caller, caller.level)

    def overdue(self, caller: C, waited_s: float) -> None:
        """The caller's patience is at its end."""
        if caller.taken:
            return
        if self._policy.timeout_action == "reject":
            caller.fail(DeadlineExceeded(f"model {self.name!r}: not taken from the queue in {waited_s:g} s"))
        elif not caller.gone:
            before, caller.level = caller.level, len(self._levels)
            self._waits_no_more(caller, before)
            self._levels[-1].append(caller)
            self._waiting += 1

    def first(self) -> C | None:
        """Who is next: it stays until all its rows are taken."""
        for level in self._levels:
            if (found := level.first()) is not None:
                return found
        return None

    def first_alike(self, other: C) -> C | None:
        """Who is next of those that may share a run with ``other``."""
        signature = other.signature
        for level in self._levels:
            if (found := level.first_of(signature)) is not None:
                return found
        return None

    def took(self, caller: C, rows: int) -> None:
        """``rows`` of the caller's are in a run."""
        self.callers -= not caller.taken
        caller.taken += rows
        self.rows -= rows
        if caller.taken == caller.rows:
            self._waits_no_more(caller, caller.level)

    def wait_ahead(self, caller: C, rows: int) -> None:
        """``rows`` just taken are in a batch formed ahead of its run: they still wait."""
        self._ahead[caller] = rows
        self.rows += rows

    def begin_ahead(self, caller: C) -> None:
        """The batch formed ahead runs now; of a caller that has left there is nothing to count."""
        self.rows -= self._ahead.pop(caller, 0)

    def fail(self, error: Exception) -> None:
        """Answer everyone who waits with ``error``."""
        while (caller := self.first()) is not None:
            caller.fail(error)

    def _waits_no_more(self, caller: C, level: int) -> None:
        self._waiting -= 1
        left = self._levels[level - 1]
        left.first_of(caller.signature)
        if len(left.callers) > 2 * self._waiting + SWEEP_AT:
            left.sweep()
