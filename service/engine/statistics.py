"""Statistics of one model since it was loaded, named as in the statistics extension of the protocol."""

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from service.errors import InternalError, LectoriumError

# The bounds of Triton's nv_inference_first_response_histogram_ms.
FIRST_RESPONSE_MS = (100, 500, 2000, 5000)


@dataclass(slots=True)
class Duration:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, times: int = 1) -> None:
        """Add ``times`` of ``seconds`` each."""
        self.count += times
        self.ns += int(seconds * 1e9) * times


@dataclass(slots=True)
class Stages:
    """The three stages of a run: join the inputs, run the graph, slice the outputs."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)

    def add(self, input_s: float, infer_s: float, output_s: float, times: int = 1) -> None:
        """Add ``times`` runs, or requests of one run."""
        self.compute_input.add(input_s, times)
        self.compute_infer.add(infer_s, times)
        self.compute_output.add(output_s, times)


@dataclass(slots=True)
class FirstResponses:
    """How long the callers of a loop waited for its first emission, in milliseconds.

    ``counts`` has one count for each bound of `FIRST_RESPONSE_MS`, of the times between the bound before and this one,
    and at the end the count of all longer times.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(FIRST_RESPONSE_MS) + 1))
    ms: float = 0.0

    def add(self, seconds: float) -> None:
        """Add one."""
        self.counts[bisect_left(FIRST_RESPONSE_MS, seconds * 1e3)] += 1
        self.ms += seconds * 1e3


@dataclass(slots=True)
class Statistics:
    """Counts of requests, of rows (``inference_count``) and of batches (``execution_count``).

    ``stages`` counts each request of a batch with the batch's whole time, ``batches`` each batch once, by its rows.
    ``last_inference`` is in milliseconds since the epoch, 0 before the first. ``failures`` counts the failed
    requests by Triton's reasons: REJECTED (not admitted), CANCELED (the caller left), BACKEND (the graph failed)
    and OTHER.
    """

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    failures: Counter[str] = field(default_factory=Counter)
    queue: Duration = field(default_factory=Duration)
    stages: Stages = field(default_factory=Stages)
    batches: dict[int, Stages] = field(default_factory=dict)
    first_responses: FirstResponses = field(default_factory=FirstResponses)
    inference_count: int = 0
    execution_count: int = 0
    last_inference: int = 0

    def ran(self, rows: int, requests: int, input_s: float, infer_s: float, output_s: float) -> None:
        """One batch of ``rows`` rows of ``requests`` requests has run."""
        self.inference_count += rows
        self.execution_count += 1
        self.last_inference = time.time_ns() // 1_000_000
        self.stages.add(input_s, infer_s, output_s, requests)
        self.batches.setdefault(rows, Stages()).add(input_s, infer_s, output_s)

    def succeeded(self, total_s: float, queue_s: float) -> None:
        """One request was answered."""
        self.success.add(total_s)
        self.queue.add(queue_s)

    def failed(self, total_s: float, error: BaseException) -> None:
        """One request ended with ``error``."""
        self.fail.add(total_s)
        self.failures[_reason(error)] += 1

    def refused(self) -> None:
        """One request was refused because the queue was full."""
        self.failures["REJECTED"] += 1


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "CANCELED"
    if isinstance(error, InternalError) or not isinstance(error, LectoriumError):
        return "BACKEND"
    return "OTHER"
