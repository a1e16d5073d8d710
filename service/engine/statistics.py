"""What one model has done since it was loaded, in the words of the protocol's statistics extension."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Duration:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, times: int = 1) -> None:
        """``times`` more, of ``seconds`` each."""
        self.count += times
        self.ns += int(seconds * 1e9) * times


@dataclass(slots=True)
class Stages:
    """The three stages of a run: join the inputs, run the graph, slice the outputs."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)

    def add(self, input_s: float, infer_s: float, output_s: float, times: int = 1) -> None:
        """``times`` more runs, or requests of one run."""
        self.compute_input.add(input_s, times)
        self.compute_infer.add(infer_s, times)
        self.compute_output.add(output_s, times)


@dataclass(slots=True)
class Statistics:
    """Counts of requests, of rows (``inference_count``) and of batches (``execution_count``).

    ``stages`` counts each request of a batch with the batch's whole time, ``batches`` each batch once, by its rows.
    ``last_inference`` is in milliseconds since the epoch, 0 before the first.
    """

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    stages: Stages = field(default_factory=Stages)
    batches: dict[int, Stages] = field(default_factory=dict)
    inference_count: int = 0
    execution_count: int = 0
    last_inference: int = 0

    def ran(self, rows: int, requests: int, input_s: float, infer_s: float, output_s: float) -> None:
        """One batch of so many rows, of so many requests, has run."""
        self.inference_count += rows
        self.execution_count += 1
        self.last_inference = time.time_ns() // 1_000_000
        self.stages.add(input_s, infer_s, output_s, requests)
        self.batches.setdefault(rows, Stages()).add(input_s, infer_s, output_s)

    def succeeded(self, total_s: float, queue_s: float) -> None:
        """One request was answered."""
        self.success.add(total_s)
        self.queue.add(queue_s)
