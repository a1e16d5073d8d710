"""Triton's metrics, so that dashboards and autoscalers made for it work; read from the models' statistics.

These are sums per model and version, as Triton publishes them; our own histograms have quantiles and surfaces, too.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engine import Model
from service.engine.statistics import FIRST_RESPONSE_MS, FirstResponses, Statistics

REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
_COUNTS: dict[str, tuple[str, Callable[[Statistics], int]]] = {
    "nv_inference_request_success": ("Requests that succeeded.", lambda s: s.success.count),
    "nv_inference_count": ("Rows run.", lambda s: s.inference_count),
    "nv_inference_exec_count": ("Runs: batches, or steps of a loop.", lambda s: s.execution_count),
    "nv_inference_request_duration_us": ("Requests, end to end, µs.", lambda s: (s.success.ns + s.fail.ns) // 1000),
    "nv_inference_queue_duration_us": ("Requests waiting, µs.", lambda s: s.queue.ns // 1000),
    "nv_inference_compute_input_duration_us": ("Joining inputs, µs.", lambda s: s.stages.compute_input.ns // 1000),
    "nv_inference_compute_infer_duration_us": ("Running graphs, µs.", lambda s: s.stages.compute_infer.ns // 1000),
    "nv_inference_compute_output_duration_us": ("Slicing outputs, µs.", lambda s: s.stages.compute_output.ns // 1000),
}


class TritonMetrics(Collector):
    """Collects from ``models()``: those served at the time of a scrape, each with how many of its requests wait."""

    def __init__(self, models: Callable[[], Iterable[tuple[Model, int]]]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Each metric, with a sample for each model."""
        served = [
            ({"model": model.name, "version": model.version}, model, waiting) for model, waiting in self._models()
        ]
        for name, (text, read) in _COUNTS.items():
            metric = _counter(name, text)
            for labels, model, _ in served:
                metric.add_sample(name, labels, read(model.statistics))
            yield metric
        failure = _counter("nv_inference_request_failure", "Requests that failed, by reason.")
        for labels, model, _ in served:
            for reason in REASONS:
                failure.add_sample(failure.name, {**labels, "reason": reason}, model.statistics.failures[reason])
        yield failure
        pending = Metric("nv_inference_pending_request_count", "Requests that wait for a run.", "gauge")
        for labels, _, waiting in served:
            pending.add_sample(pending.name, labels, waiting)
        yield pending
        yield _first_responses([(labels, model.statistics.first_responses) for labels, model, _ in served])


def _first_responses(found: Iterable[tuple[dict[str, str], FirstResponses]]) -> Metric:
    name = "nv_inference_first_response_histogram_ms"
    histogram = HistogramMetricFamily(name, "From a loop's request to its first emission.", labels=("model", "version"))
    bounds = [*map(str, FIRST_RESPONSE_MS), "+Inf"]
    for labels, responses in found:
        below = list(zip(bounds, accumulate(responses.counts), strict=True))
        histogram.add_metric(list(labels.values()), below, responses.ms)
    return histogram


def _counter(name: str, text: str) -> Metric:
    # The library adds `_total` to the name of a counter; Triton does not.
    return Metric(name, text, "unknown")
