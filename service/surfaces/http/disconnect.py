"""Ends the work for HTTP callers that hang up or do not send their body in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Self

from service.errors import CallerGone, DeadlineExceeded, LectoriumError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# The key of a scope that holds the server's `Exchange.on_hang_up`, to be given what to call when the caller hangs up.
ON_HANG_UP = "lectorium.on_hang_up"
# Seconds between two checks for bodies that are late.
LOOK_S = 0.05


class Callers:
    """The callers of one surface. They share one timer: a timer for each would cost as much as reading a request."""

    def __init__(self, body_s: float) -> None:
        self.body_s = body_s
        self._sending: set[Caller] = set()
        self._looking = False

    def caller(self, scope: Scope) -> "Caller":
        """Watch one caller inside a block: ``with callers.caller(scope) as caller: ...``."""
        return Caller(self, scope)

    def expect(self, caller: "Caller") -> None:
        """Begin to check that the caller's body arrives in time."""
        self._sending.add(caller)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def expect_no_more(self, caller: "Caller") -> None:
        """Stop checking: it has arrived, or is not needed."""
        self._sending.discard(caller)

    def _look(self) -> None:
        now = time.monotonic()
        for caller in self._sending:
            caller.look(now)
        self._looking = bool(self._sending)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_S, self._look)


class Caller:
    """One caller: the block is cancelled when it hangs up, or its body does not arrive in time.

    Raises:
        DeadlineExceeded, CallerGone: instead of that cancellation.
    """

    __slots__ = ("_callers", "_error", "_on_hang_up", "_since", "_task")

    def __init__(self, callers: Callers, scope: Scope) -> None:
        self._callers = callers
        self._on_hang_up: Callable[[Callable[[], None] | None], bool] = scope[ON_HANG_UP]
        self._error: LectoriumError | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # an ASGI server always runs an app in one
        self._task = task
        self._since = time.monotonic()
        if not self._on_hang_up(self._hung_up):
            raise CallerGone("the caller hung up")
        self._callers.expect(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._callers.expect_no_more(self)
        self._on_hang_up(None)
        ours, self._error = self._error, None
        if ours is not None and kind is asyncio.CancelledError:
            self._task.uncancel()
            try:
                raise ours from error
            finally:
                # Its traceback has this frame, and the frames that hold the body: that cycle would keep the body until
                # the garbage collector runs, which is seldom.
                del ours

    def body_came(self) -> None:
        """The body has been read: stop checking for it."""
        self._callers.expect_no_more(self)

    def look(self, now: float) -> None:
        """End the work if its body is late."""
        if now - self._since > self._callers.body_s:
            self._end(DeadlineExceeded(f"the request's body did not arrive within {self._callers.body_s:g} s"))

    def _hung_up(self) -> None:
        self._end(CallerGone("the caller hung up"))

    def _end(self, error: LectoriumError) -> None:
        if self._error is None:
            self._error = error
            self._task.cancel()
