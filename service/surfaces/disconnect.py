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

# Most answers are quicker than this, and spare the task that would listen for their caller.
PATIENCE_S = 0.02


class Callers:
    """The callers of one surface. One timer looks after all: one each would cost as much as reading a request."""

    def __init__(self, body_s: float) -> None:
        self.body_s = body_s
        self._inside: set[Caller] = set()
        self._looking = False

    def caller(self, receive: Receive) -> "Caller":
        """Look after one caller inside this block: ``with callers.caller(receive) as caller: ...``."""
        return Caller(self, receive)

    def enter(self, caller: "Caller") -> None:
        """Look after ``caller`` from now on."""
        self._inside.add(caller)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(PATIENCE_S, self._look)

    def leave(self, caller: "Caller") -> None:
        """No more."""
        self._inside.remove(caller)

    def _look(self) -> None:
        now = time.monotonic()
        for caller in self._inside:
            caller.look(now)
        self._looking = bool(self._inside)
        if self._looking:
            asyncio.get_running_loop().call_later(PATIENCE_S, self._look)


class Caller:
    """One caller: its body must come in time; once it `listens`, its hanging up ends the work.

    Raises:
        DeadlineExceeded, CallerGone: in place of the cancellation that ended the block.
    """

    __slots__ = ("_callers", "_error", "_listens", "_receive", "_since", "_task", "_watcher")

    def __init__(self, callers: Callers, receive: Receive) -> None:
        self._callers = callers
        self._receive = receive
        self._listens = False
        self._error: LectoriumError | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # an ASGI server always runs an app in one
        self._task = task
        self._since = time.monotonic()
        self._callers.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._callers.leave(self)
        if self._watcher is not None:
            self._watcher.cancel()
        if self._error is not None and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise self._error from error

    def listens(self) -> None:
        """The body has been read: what comes now is the end of the connection."""
        self._listens = True
        self._since = time.monotonic()

    def look(self, now: float) -> None:
        """End what has taken too long, listen to who has waited a while."""
        if not self._listens:
            if now - self._since > self._callers.body_s:
                self._end(DeadlineExceeded(f"the request's body did not come within {self._callers.body_s:g} s"))
        elif self._watcher is None and now - self._since > PATIENCE_S:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(CallerGone("the caller hung up"))

    def _end(self, error: LectoriumError) -> None:
        if self._error is None:
            self._error = error
            self._task.cancel()
