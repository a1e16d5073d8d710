"""Look after HTTP callers: give up on a body that does not come, cancel the work of a caller that hangs up."""

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

# The key of a scope under which the server takes the function it calls when the caller hangs up: `Exchange.on_hang_up`.
ON_HANG_UP = "lectorium.on_hang_up"
# How often is looked for bodies that did not come in time.
LOOK_S = 0.05


class Callers:
    """The callers of one surface. One timer looks after all: one each would cost as much as reading a request."""

    def __init__(self, body_s: float) -> None:
        self.body_s = body_s
        self._sending: set[Caller] = set()
        self._looking = False

    def caller(self, scope: Scope) -> "Caller":
        """Look after one caller inside this block: ``with callers.caller(scope) as caller: ...``."""
        return Caller(self, scope)

    def expect(self, caller: "Caller") -> None:
        """The caller's body is to come in time."""
        self._sending.add(caller)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def expect_no_more(self, caller: "Caller") -> None:
        """It has come, or is not waited for."""
        self._sending.discard(caller)

    def _look(self) -> None:
        now = time.monotonic()
        for caller in self._sending:
            caller.look(now)
        self._looking = bool(self._sending)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_S, self._look)


class Caller:
    """One caller: its body must come in time, and its hanging up ends the work at once.

    Raises:
        DeadlineExceeded, CallerGone: in place of the cancellation that ended the block.
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
                # Its traceback has this frame, and those that hold the body: in a circle with them it would keep that
                # until the garbage collector comes, which is seldom.
                del ours

    def body_came(self) -> None:
        """The body has been read: the work may take its time."""
        self._callers.expect_no_more(self)

    def look(self, now: float) -> None:
        """End what has waited too long for its body."""
        if now - self._since > self._callers.body_s:
            self._end(DeadlineExceeded(f"the request's body did not come within {self._callers.body_s:g} s"))

    def _hung_up(self) -> None:
        self._end(CallerGone("the caller hung up"))

    def _end(self, error: LectoriumError) -> None:
        if self._error is None:
            self._error = error
            self._task.cancel()
