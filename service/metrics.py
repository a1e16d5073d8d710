"""Every metric of the service, named once. Labels hold only what we serve, never what a caller sends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.registry import Collector

# They are a third of all series, and nobody reads them.
disable_created_metrics()

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_request = Histogram(
    "lectorium_request_duration_seconds",
    "From the request's arrival to its answer; code is the gRPC name of the outcome.",
    ("model", "version", "surface", "code"),
    buckets=_SECONDS,
)
_stage_labels = ("model", "version", "surface")
_decode = Histogram("lectorium_decode_duration_seconds", "Decoding an image or text.", _stage_labels, buckets=_SECONDS)
_queue = Histogram("lectorium_queue_duration_seconds", "Waiting for a lane.", _stage_labels, buckets=_SECONDS)
_compute = Histogram("lectorium_compute_duration_seconds", "Running in a lane.", _stage_labels, buckets=_SECONDS)
_first_emission = Histogram(
    "lectorium_first_emission_seconds", "From a loop's request to its first emission.", _stage_labels, buckets=_SECONDS
)
_emissions = Counter("lectorium_emissions", "Emissions of loops sent to their callers.", _stage_labels)
_batch_rows = Histogram("lectorium_batch_rows", "Rows in each batch run.", ("model", "version"), buckets=_ROWS)
_queue_rows = Gauge("lectorium_queue_rows", "Rows waiting for a lane.", ("model", "version"))
_in_flight = Gauge("lectorium_in_flight_requests", "Requests begun and not yet answered.", ("surface",))
_rejections = Counter(
    "lectorium_rejections", "Requests not answered with a result, by reason.", (*_stage_labels, "reason")
)
_reads = Counter(
    "lectorium_reads",
    "Requests that only read: metadata, statistics, cards, pages, probes, scrapes; code as above.",
    ("surface", "code"),
)


# Finding a labelled child takes longer than observing it, hence the caches; the number of their keys is bounded.


@cache
def request_duration(model: str, version: str, surface: str, code: str) -> Histogram:
    """The request histogram of one model, surface and outcome."""
    return _request.labels(model, version, surface, code)


@cache
def decode_duration(model: str, version: str, surface: str) -> Histogram:
    """The decode histogram of one model on one surface."""
    return _decode.labels(model, version, surface)


@cache
def run_durations(model: str, version: str, surface: str) -> tuple[Histogram, Histogram]:
    """The queue and the compute histogram of one model on one surface."""
    labels = (model, version, surface)
    return _queue.labels(*labels), _compute.labels(*labels)


@cache
def first_emission(model: str, version: str, surface: str) -> Histogram:
    """The histogram of the time from a loop's request to its first emission."""
    return _first_emission.labels(model, version, surface)


@cache
def emissions(model: str, version: str, surface: str) -> Counter:
    """The counter of a loop's emissions that were sent."""
    return _emissions.labels(model, version, surface)


@cache
def batch_rows(model: str, version: str) -> Histogram:
    """The batch-size histogram of one model."""
    return _batch_rows.labels(model, version)


@cache
def rejections(model: str, version: str, surface: str, reason: str) -> Counter:
    """The rejection counter of one model, surface and reason."""
    return _rejections.labels(model, version, surface, reason)


@cache
def reads(surface: str, code: str) -> Counter:
    """The counter of one surface's reads with one outcome."""
    return _reads.labels(surface, code)


def watch_in_flight(surface: str, count: Callable[[], int]) -> None:
    """Call ``count`` at each scrape for how many requests of a surface are in flight."""
    _in_flight.labels(surface).set_function(count)


def watch_queue(model: str, version: str, rows: Callable[[], int]) -> None:
    """Call ``rows`` at each scrape for how many rows wait for a model."""
    _queue_rows.labels(model, version).set_function(rows)


def forget_queue(model: str, version: str) -> None:
    """Drop a model's queue, which takes no more requests."""
    _queue_rows.remove(model, version)


def forget(model: str, version: str) -> None:
    """Drop every series of an unloaded model, once its last request has ended."""
    for metric in _OF_MODELS:
        metric.remove_by_labels({"model": model, "version": version})
    for found in _FOUND:
        found.cache_clear()


_OF_MODELS = (
    _request,
    _decode,
    _queue,
    _compute,
    _first_emission,
    _emissions,
    _batch_rows,
    _queue_rows,
    _rejections,
)
_FOUND = (
    request_duration,
    decode_duration,
    run_durations,
    first_emission,
    emissions,
    batch_rows,
    rejections,
)


@contextmanager
def published(collector: Collector) -> Iterator[None]:
    """Add the collector to the process's metrics inside this block."""
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)
