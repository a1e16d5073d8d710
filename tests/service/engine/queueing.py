"""Callers of one batch queue, without an engine: a test says when a batch is formed, run and answered."""

import asyncio

import numpy as np

from service.engine.batch import Batch, BatchQueue
from service.engine.model import Model
from service.engine.request import Request
from tests.service.engine.sums import Inputs, sum_answer, sum_inputs

BOTH = ("difference", "total")


class Callers:
    """Joins requests to a queue and runs what it forms."""

    def __init__(self, loop: asyncio.AbstractEventLoop, model: Model) -> None:
        self._loop = loop
        self.queue = BatchQueue(model, model.session, max_rows=1024)
        self.requests: list[Request] = []

    def ask(self, inputs: Inputs, outputs: tuple[str, ...] = BOTH) -> Request:
        signature = self.queue.signature(inputs)
        request = Request(inputs, outputs, len(inputs["left"]), self._loop.create_future(), signature=signature)
        self.requests.append(request)
        self.queue.requests.join(request)
        return request

    def ask_rows(self, *rows: int) -> list[Request]:
        return [self.ask(sum_inputs(count, seed=len(self.requests))) for count in rows]

    def leave(self, request: Request) -> None:
        """As the engine has it when a caller is cancelled."""
        request.future.cancel()
        self.queue.requests.leave(request)
        request.release()

    def batches(self) -> list[Batch]:
        """All that can be formed of what waits."""
        formed = []
        while batch := self.queue.form():
            formed.append(batch)
        return formed

    def sizes(self) -> list[list[int]]:
        """The rows of each chunk of each batch."""
        return [[chunk.rows for chunk in batch.chunks] for batch in self.batches()]


def check_answer(request: Request, inputs: Inputs) -> None:
    """The caller has the answer to its own rows, in the outputs it asked for."""
    outputs = request.future.result().outputs
    assert tuple(outputs) == request.outputs
    for name, wanted in sum_answer(inputs).items():
        if name in outputs:
            np.testing.assert_array_equal(outputs[name], wanted)
