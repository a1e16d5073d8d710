"""A request to a step loop, and what its caller reads of it: one emission for each step.

The event loop owns everything here.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from service.deadline import NEVER, Deadline
from service.engine.sampling_parameters import SamplingParameters
from service.engine.sequence_group import StepResult
from service.engine.tensors import Tensor, Tensors
from service.errors import CallerBehind

# A caller that has left more than this unread is dropped, because unread emissions would fill the memory.
MAX_UNREAD_BYTES = 16 << 20
_EMISSION_BYTES = 1 << 10  # an upper bound of what an emission takes beside its arrays


class Emission(NamedTuple):
    """What one step gave a request.

    Attributes:
        step: the number of the step, from 1.
        outputs: by name, (rows, ...) each; the last emission also has what the loop answers at its end.
        last: whether this is the last emission.
        seed: a request with this seed gets the same emissions.
        queue_s: the seconds the request waited for its encoder and for its first step.
    """

    step: int
    outputs: dict[str, Tensor]
    last: bool
    seed: int
    queue_s: float

    @property
    def bytes(self) -> int:
        """About how much memory it takes."""
        return _EMISSION_BYTES + sum(tensor.nbytes for tensor in self.outputs.values())


@dataclass(slots=True, eq=False)
class StepRequest:
    """A request whose rows take steps; `next` gives what they emit."""

    inputs: Tensors
    encoded: Tensors
    outputs: tuple[str, ...]
    rows: int
    steps: int
    seed: int
    level: int = 1
    sampling: SamplingParameters | None = None
    every: int = 1
    deadline: Deadline = NEVER
    entered: float = field(default_factory=time.perf_counter)
    encode_s: float = 0.0
    started: float = 0.0
    taken: int = 0
    _ended: bool = False
    _emitted: deque[Emission | Exception] = field(default_factory=deque)
    _unread: int = 0  # bytes
    _listener: asyncio.Future[None] | None = None

    @property
    def signature(self) -> None:
        """None: rows of all requests may share a step."""

    @property
    def gone(self) -> bool:
        """Whether no step may be started for it: it has ended, its caller has left, or its deadline has passed.

        The deadline is checked here because the timer that tells the caller may be late on a busy event loop.
        """
        return self._ended or self.deadline.passed

    def emit(self, result: StepResult) -> None:
        """Give the caller what a step gave, unless it has left; drop a caller that has left too much unread."""
        if self._ended:
            return
        given = result.outputs
        outputs = {name: given[name] for name in self.outputs if name in given}
        if self._emitted:  # what waits unread must not keep what other requests were given
            outputs = {name: tensor if tensor.base is None else tensor.copy() for name, tensor in outputs.items()}
        emission = Emission(result.step, outputs, result.last, self.seed, self._waited_s)
        self._unread += emission.bytes
        if self._emitted and self._unread > MAX_UNREAD_BYTES:
            unread = f"{len(self._emitted)} emissions ({self._unread} bytes)"
            self.fail(
                CallerBehind(f"the caller left {unread} unread; at most {MAX_UNREAD_BYTES} bytes are kept for it")
            )
            return
        self._tell(emission)
        self._ended = result.last

    @property
    def _waited_s(self) -> float:
        return self.started - self.entered - self.encode_s

    def fail(self, error: Exception) -> None:
        """End with ``error``, unless the request has ended."""
        if not self._ended:
            self._ended = True
            self._tell(error)

    def release(self) -> None:
        """End the request because nobody waits for it: its rows take no further step."""
        self._ended = True
        if not self.taken:  # else a lane may be reading them
            self.inputs = self.encoded = {}

    async def next(self) -> Emission:
        """Wait for the next emission; call it no more after the last."""
        if not self._emitted:
            self._listener = asyncio.get_running_loop().create_future()
            try:
                await self._listener
            finally:
                self._listener = None
        emission = self._emitted.popleft()
        if isinstance(emission, Exception):
            try:
                raise emission
            finally:
                del emission  # its traceback has this frame: the cycle would keep what the frames hold
        self._unread -= emission.bytes
        return emission

    def _tell(self, news: Emission | Exception) -> None:
        self._emitted.append(news)
        if self._listener is not None and not self._listener.done():
            self._listener.set_result(None)
