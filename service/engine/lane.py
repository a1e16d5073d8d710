"""A lane: one thread that runs inference calls for one device, one at a time."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
Call = Callable[[], None]


def attempt(work: Callable[[], T]) -> T | Exception:
    """What ``work`` returns, or the exception that it raises."""
    try:
        return work()
    except Exception as error:
        return error


class Lane:
    """A worker thread that takes calls from the event loop and hands their results back to it.

    Results return through ``call_soon_threadsafe``, so the two threads share no lock and no future.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run ``work`` on the lane, then ``done`` on the event loop with its result or its exception."""

        def call() -> None:
            result = attempt(work)
            self._loop.call_soon_threadsafe(done, result)
            del result  # an exception's traceback refers to this frame: a cycle that would keep arrays alive

        self._calls.put(call)

    def stop(self) -> None:
        """Finish the submitted calls, then end the thread."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # or it would keep the last batch's arrays alive until the next call
