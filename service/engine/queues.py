"""The queues before the graphs of one model."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from service.engine.batch import BatchQueue
from service.engine.model import Model
from service.engine.steps import StepLoop
from service.package import Loop, TensorCard


class Queues(NamedTuple):
    """That of its graph or encoder, that of its steps, and those of its parts."""

    once: BatchQueue | None
    steps: StepLoop | None
    parts: Mapping[str, BatchQueue]

    @classmethod
    def before(cls, model: Model, max_rows: int, others_wait: Callable[[], bool]) -> "Queues":
        """Those the model needs, ``max_rows`` long each where its card says nothing.

        ``others_wait`` tells its steps whether another queue waits for their lane.
        """
        loop = model.program if isinstance(model.program, Loop) else None
        session = model.encoder if loop else model.session
        any_rows = loop is None and isinstance(model.card, TensorCard)  # a task's answer has a row for each of its own
        return cls(
            BatchQueue(model, session, max_rows, any_rows=any_rows) if session else None,
            StepLoop(model, loop, max_rows, others_wait) if loop else None,
            {name: BatchQueue(model, part, max_rows) for name, part in model.parts.items()},
        )

    @property
    def all(self) -> Iterator[BatchQueue | StepLoop]:
        """Those there are."""
        return (queue for queue in (self.once, self.steps, *self.parts.values()) if queue is not None)
