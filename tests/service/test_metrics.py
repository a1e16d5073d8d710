from prometheus_client import REGISTRY

from service import metrics


class Queue:
    rows = 3


def test_the_queue_gauge_reads_the_queue_when_it_is_read() -> None:
    queue = Queue()
    metrics.watch_queue("watched", "1", lambda: queue.rows)
    queue.rows = 5
    assert REGISTRY.get_sample_value("lectorium_queue_rows", {"model": "watched", "version": "1"}) == 5


def test_a_model_loaded_again_is_watched_in_its_new_queue() -> None:
    metrics.watch_queue("again", "1", lambda: 3)
    metrics.watch_queue("again", "1", lambda: 9)
    assert REGISTRY.get_sample_value("lectorium_queue_rows", {"model": "again", "version": "1"}) == 9


def test_a_model_that_has_left_has_no_queue() -> None:
    metrics.watch_queue("gone", "1", lambda: 3)
    metrics.forget_queue("gone", "1")
    assert REGISTRY.get_sample_value("lectorium_queue_rows", {"model": "gone", "version": "1"}) is None


def test_one_model_is_measured_apart_on_each_surface() -> None:
    metrics.run_durations("measured", "1", "rest")[0].observe(0.5)
    metrics.run_durations("measured", "1", "grpc")[0].observe(0.25)
    for surface, seconds in (("rest", 0.5), ("grpc", 0.25)):
        labels = {"model": "measured", "version": "1", "surface": surface}
        assert REGISTRY.get_sample_value("lectorium_queue_duration_seconds_sum", labels) == seconds


def test_every_series_of_a_model_that_has_left_is_dropped_and_no_other() -> None:
    def observe(model: str, version: str) -> None:
        metrics.request_duration(model, version, "rest", "OK").observe(1)
        metrics.rejections(model, version, "rest", "queue_full").inc()
        metrics.emissions(model, version, "rest").inc()
        metrics.batch_rows(model, version).observe(2)
        for stage in (metrics.decode_duration(model, version, "rest"), *metrics.run_durations(model, version, "rest")):
            stage.observe(1)
        metrics.first_emission(model, version, "rest").observe(1)
        metrics.watch_queue(model, version, lambda: 1)

    for model, version in (("left", "1"), ("left", "2"), ("stays", "1")):
        observe(model, version)
    each = len(series("left", "1"))
    metrics.forget("left", "1")
    assert [len(series(*of)) for of in (("left", "1"), ("left", "2"), ("stays", "1"))] == [0, each, each]
    observe("left", "1")
    assert REGISTRY.get_sample_value("lectorium_batch_rows_count", {"model": "left", "version": "1"}) == 1


def series(model: str, version: str) -> list[str]:
    """The names of the samples that have these labels."""
    labels = {"model": model, "version": version}.items()
    return [
        sample.name for family in REGISTRY.collect() for sample in family.samples if labels <= sample.labels.items()
    ]
