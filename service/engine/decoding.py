"""The decoder of a step loop: makes of what the steps give what the caller gets, as a graph that runs once."""

from contextlib import AbstractContextManager, nullcontext

from service.engine.batch import BatchQueue
from service.engine.queues import Queues
from service.engine.tensors import Tensor, Tensors
from service.package import Loop
from service.package.card import DECODER


class Decoding:
    """The way of one request's emissions through the decoder, if its loop has one and it wants what that makes.

    Args:
        loop: the step loop.
        queues: the model's.
        requested: the outputs that the caller gets, in their order.

    Attributes:
        queue: of the decoder; None if nothing of the request is decoded.
        made: the requested outputs of the decoder.
    """

    def __init__(self, loop: Loop, queues: Queues, requested: tuple[str, ...]) -> None:
        outputs = loop.decoder.outputs if loop.decoder else ()
        self.made = tuple(tensor.name for tensor in outputs if tensor.name in requested)
        self.queue: BatchQueue | None = queues.parts[DECODER] if self.made else None
        self._requested = requested
        self._inputs = tuple(tensor.name for tensor in loop.decoder.inputs) if loop.decoder else ()

    def reserved(self, rows: int) -> AbstractContextManager[None]:
        """Hold places in the decoder's queue for the time of the steps, so that they are not taken for nothing.

        Raises:
            QueueFull: there is no room.
        """
        if self.queue is None:
            return nullcontext()
        self.queue.requests.admit(rows)
        return self.queue.requests.reserve(rows)

    def applies(self, outputs: Tensors) -> bool:
        """Whether the emitted ``outputs`` are decoded: an emission on the way may lack what only the answer has."""
        return self.queue is not None and all(name in outputs for name in self._inputs)

    def inputs(self, outputs: Tensors) -> tuple[Tensors, int]:
        """What the decoder takes of the emitted ``outputs``, and how many rows that is."""
        found = {name: outputs[name] for name in self._inputs}
        return found, len(found[self._inputs[0]])

    def replaced(self, outputs: Tensors, decoded: Tensors) -> dict[str, Tensor]:
        """The requested outputs, of the steps and of the decoder."""
        both = {**outputs, **decoded}
        return {name: both[name] for name in self._requested if name in both}
