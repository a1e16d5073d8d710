"""The queues in front of the graphs of one model."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from service.engine.batch import BatchQueue
from service.engine.model import Model
from service.engine.steps import StepLoop
from service.package import Loop, TensorCard


class Queues(NamedTuple):
    """``once`` for the model's graph or encoder, ``steps`` for its step loop, ``parts`` for the card's other graphs."""

    once: BatchQueue | None
    steps: StepLoop | None
    parts: Mapping[str, BatchQueue]

    @classmethod
    def before(cls, model: Model, max_rows: int, others_wait: Callable[[], bool]) -> "Queues":
        """The queues that the model needs.

        Args:
            model: the model.
            max_rows: how many rows may wait in each, unless the card says otherwise.
            others_wait: tells the step loop whether another queue waits for its lane.
        """
        loop = model.program if isinstance(model.program, Loop) else None
        session = model.encoder if loop else model.session
        any_rows = loop is None and isinstance(model.card, TensorCard)  # a task's answer has one row for each input row
        return cls(
            BatchQueue(model, session, max_rows, any_rows=any_rows) if session else None,
            StepLoop(model, loop, max_rows, others_wait) if loop else None,
            {name: BatchQueue(model, part, max_rows) for name, part in model.parts.items()},
        )

    @property
    def all(self) -> Iterator[BatchQueue | StepLoop]:
        """Every queue the model has."""
        return (queue for queue in (self.once, self.steps, *self.parts.values()) if queue is not None)
