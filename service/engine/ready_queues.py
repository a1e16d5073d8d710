"""The queues that have work, in the order in which they get a lane."""

from collections import deque
from collections.abc import Callable

from service.engine.work import WorkQueue


class ReadyQueues:
    """Round robin among the queues of the highest priority; the others only get a lane when these have no work."""

    def __init__(self) -> None:
        self._by_priority: dict[int, deque[WorkQueue]] = {}

    def __bool__(self) -> bool:
        return any(self._by_priority.values())

    def add(self, queue: WorkQueue) -> None:
        """Put the queue at the end of its priority, unless it is there already."""
        priority = queue.model.card.serving.priority
        if priority not in self._by_priority:
            self._by_priority = dict(sorted({**self._by_priority, priority: deque[WorkQueue]()}.items()))
        if queue not in self._by_priority[priority]:
            self._by_priority[priority].append(queue)

    def take(self, ready: Callable[[WorkQueue], bool]) -> WorkQueue | None:
        """Remove and return the first queue that is ``ready``, if any; every queue is asked exactly once."""
        found = [queue for queues in self._by_priority.values() for queue in queues if ready(queue)]
        if not found:
            return None
        self._by_priority[found[0].model.card.serving.priority].remove(found[0])
        return found[0]

    def next(self) -> WorkQueue:
        """Remove and return the next queue.

        Raises:
            IndexError: no queue has work.
        """
        return next((queues for queues in self._by_priority.values() if queues), deque()).popleft()
