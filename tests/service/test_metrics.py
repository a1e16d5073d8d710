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
    metrics.queue_duration("measured", "1", "rest").observe(0.5)
    metrics.queue_duration("measured", "1", "grpc").observe(0.25)
    for surface, seconds in (("rest", 0.5), ("grpc", 0.25)):
        labels = {"model": "measured", "version": "1", "surface": surface}
        assert REGISTRY.get_sample_value("lectorium_queue_duration_seconds_sum", labels) == seconds
