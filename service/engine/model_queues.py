"""The queues of all models, from the time they are served until their last request has ended."""

from collections.abc import Callable, Iterator
from functools import partial
from weakref import WeakSet

from service import metrics
from service.engine.batch import BatchQueue
from service.engine.model import Model
from service.engine.queues import Queues
from service.engine.steps import StepLoop


class ModelQueues:
    """The queues by model. They belong to the event loop.

    Args:
        max_rows: how many rows may wait in each queue, unless the card says otherwise.
        others_wait: tells step loops whether another queue waits for their lane.
    """

    def __init__(self, max_rows: int, others_wait: Callable[[], bool]) -> None:
        self._max_rows = max_rows
        self._others_wait = others_wait
        self._served: dict[Model, Queues] = {}
        # Also the queues of models that have left, for as long as a request is in one.
        self._all: WeakSet[BatchQueue | StepLoop] = WeakSet()

    def __iter__(self) -> Iterator[BatchQueue | StepLoop]:
        """All queues, including those of models that have left and still have requests."""
        return iter(list(self._all))

    def open(self, model: Model) -> None:
        """Take requests for the model."""
        if model not in self._served:
            self._served[model] = self._make(model)
            metrics.watch_queue(model.name, model.version, partial(self.rows, model.name, model.version))

    def close(self, model: Model) -> None:
        """Take no more requests for the model. Its queues live on until the last request in them has ended."""
        del self._served[model]
        if all((model.name, model.version) != (other.name, other.version) for other in self._served):
            metrics.forget_queue(model.name, model.version)

    def of(self, model: Model) -> Queues:
        """The model's queues. A request that found its model before it left gets queues of its own."""
        return self._served.get(model) or self._make(model)

    def waiting(self) -> Iterator[tuple[Model, int]]:
        """Every model that is served, and how many requests wait for it."""
        for model, queues in list(self._served.items()):
            yield model, sum(queue.requests.waiting for queue in queues.all)

    def rows(self, name: str, version: str) -> int:
        """How many rows wait for this version of the model."""
        queues = (queue for queue in self._all if (queue.model.name, queue.model.version) == (name, version))
        return sum(queue.requests.rows for queue in queues)

    def fail(self, error: Exception) -> None:
        """Answer every waiting request with ``error``."""
        for queue in self:
            queue.close(error)

    def _make(self, model: Model) -> Queues:
        queues = Queues.before(model, self._max_rows, self._others_wait)
        self._all.update(queues.all)
        return queues
