"""The queue in front of one graph of a model: which requests wait, in which order, and how many rows they have."""

from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from service.errors import DeadlineExceeded, InvalidArgument, QueueFull
from service.package.serving import Serving


class QueuedRequest(Protocol):
    """A request that waits in a queue.

    Attributes:
        rows: how many rows it has.
        taken: how many of them have been taken for a run.
        level: its priority; 1 is the highest.
    """

    rows: int
    taken: int
    level: int

    @property
    def signature(self) -> Hashable:
        """Requests of equal signature may share a run."""

    @property
    def gone(self) -> bool:
        """Whether no work may be started for it any more."""

    def fail(self, error: Exception) -> None:
        """Answer with ``error``, unless the request is answered or its caller has left."""


R = TypeVar("R", bound=QueuedRequest)

# A level is swept once it holds this many requests that no longer wait there, beside twice those that do.
SWEEP_AT = 64


class _Level(Generic[R]):
    """The requests of one priority in order of arrival, and the same requests by signature."""

    def __init__(self, number: int) -> None:
        self.requests: deque[R] = deque()
        self._by_signature: dict[Hashable, deque[R]] = {}
        self._number = number

    def append(self, request: R) -> None:
        self.requests.append(request)
        alike = self._by_signature.get(request.signature)
        if alike is None:
            alike = self._by_signature[request.signature] = deque()
        alike.append(request)

    def first(self) -> R | None:
        return self._first(self.requests)

    def first_of(self, signature: Hashable) -> R | None:
        """The first request of that signature. If there is none, the signature is forgotten."""
        alike = self._by_signature.get(signature)
        if alike is None:
            return None
        found = self._first(alike)
        if found is None:
            del self._by_signature[signature]
        return found

    def sweep(self) -> None:
        """Remove the requests that no longer wait at this level."""
        requests, self.requests, self._by_signature = self.requests, deque(), {}
        for request in requests:
            if self._waits(request):
                self.append(request)

    def _first(self, requests: deque[R]) -> R | None:
        while requests:
            if self._waits(requests[0]):
                return requests[0]
            requests.popleft()
        return None

    def _waits(self, request: R) -> bool:
        """False once the request has gone, all its rows are taken, or it has moved to another level."""
        return request.taken < request.rows and request.level == self._number and not request.gone


class RequestQueue(Generic[R]):
    """Requests by priority; within a priority, first come, first served.

    Finding the next request, or the next one of a signature, takes the same time however many wait: a request that is
    taken or leaves keeps its place and is skipped. A request that waits longer than the queue timeout is refused or, if
    the card says ``continue``, moves behind all others.

    Attributes:
        rows: the rows of waiting requests, including those in a batch that is formed but does not run yet. Admission
            bounds this number together with ``reserved``.
        waiting: how many requests have had no row taken yet.
        reserved: the rows that places are held for.
    """

    def __init__(self, name: str, serving: Serving, max_rows: int) -> None:
        batching = serving.dynamic_batching
        self.rows = 0
        self.waiting = 0
        self.reserved = 0
        self._incomplete = 0  # requests with rows that are not taken
        self._ahead: dict[R, int] = {}  # rows taken for a batch that does not run yet
        self.name = name
        self._batching = batching
        self._policy = batching.default_queue_policy
        self._max_rows = self._policy.max_queue_size or max_rows
        self._levels: list[_Level[R]] = [_Level(number) for number in range(1, batching.priority_levels + 2)]

    def __bool__(self) -> bool:
        return self.first() is not None

    def level(self, priority: int) -> int:
        """The level of a request with this ``priority``; 0 is the card's default.

        Raises:
            InvalidArgument: the card has no such level.
        """
        levels = self._batching.priority_levels
        if not 0 <= priority <= levels:
            raise InvalidArgument(f"priority is {priority}; model {self.name!r} allows 0 (the default) to {levels}")
        return priority or self._batching.default_priority_level

    def queue_timeout_s(self, requested_s: float | None) -> float | None:
        """The longest wait: the card's, or a shorter one that the request sets. None means no limit."""
        default_s = self._policy.default_timeout_microseconds / 1e6 or None
        if not requested_s or not self._policy.allow_timeout_override:
            return default_s
        return min(requested_s, default_s or requested_s)

    def admit(self, rows: int) -> None:
        """Check that there is room for ``rows`` more.

        Raises:
            QueueFull: there is not.
        """
        # A request with more rows than the queue may hold is admitted when nothing waits, or it could never run.
        waiting = self.rows + self.reserved
        if waiting + rows > self._max_rows and waiting:
            raise QueueFull(
                f"model {self.name!r}: the queue holds {waiting} of at most {self._max_rows} rows; "
                f"this request has {rows} more; try again later"
            )

    @contextmanager
    def reserve(self, rows: int) -> Iterator[None]:
        """Hold places for ``rows`` that were just admitted and join after another stage of their request."""
        self.reserved += rows
        try:
            yield
        finally:
            self.reserved -= rows

    def join(self, request: R) -> None:
        """Add the request at the end of its level."""
        self._levels[request.level - 1].append(request)
        self.rows += request.rows
        self.waiting += 1
        self._incomplete += 1

    def leave(self, request: R) -> None:
        """Release the places of the rows that do not run yet. Call it once for every request that joined."""
        self.rows -= request.rows - request.taken + self._ahead.pop(request, 0)
        self.waiting -= not request.taken
        if request.taken < request.rows:
            self._remove(request, request.level)

    def time_out(self, request: R, waited_s: float) -> None:
        """Refuse a request that has waited for the queue timeout, or move it behind all others."""
        if request.taken:
            return
        if self._policy.timeout_action == "reject":
            request.fail(DeadlineExceeded(f"model {self.name!r}: not taken from the queue in {waited_s:g} s"))
        elif not request.gone:
            before, request.level = request.level, len(self._levels)
            self._remove(request, before)
            self._levels[-1].append(request)
            self._incomplete += 1

    def first(self) -> R | None:
        """The next request; it stays the next until all its rows are taken."""
        for level in self._levels:
            if (found := level.first()) is not None:
                return found
        return None

    def first_alike(self, other: R) -> R | None:
        """The next request that may share a run with ``other``."""
        signature = other.signature
        for level in self._levels:
            if (found := level.first_of(signature)) is not None:
                return found
        return None

    def take(self, request: R, rows: int) -> None:
        """Count ``rows`` of the request as taken for a run."""
        self.waiting -= not request.taken
        request.taken += rows
        self.rows -= rows
        if request.taken == request.rows:
            self._remove(request, request.level)

    def wait_ahead(self, request: R, rows: int) -> None:
        """Count ``rows`` that were just taken as waiting: their batch is formed, but does not run yet."""
        self._ahead[request] = rows
        self.rows += rows

    def begin_ahead(self, request: R) -> None:
        """Stop counting them: their batch runs now. A request that has left is not counted any more."""
        self.rows -= self._ahead.pop(request, 0)

    def fail(self, error: Exception) -> None:
        """Answer every waiting request with ``error``."""
        while (request := self.first()) is not None:
            request.fail(error)

    def _remove(self, request: R, level: int) -> None:
        self._incomplete -= 1
        left = self._levels[level - 1]
        left.first_of(request.signature)
        if len(left.requests) > 2 * self._incomplete + SWEEP_AT:
            left.sweep()
