"""The metrics of several workers as one."""

import asyncio
import math
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from service import metrics
from service.surfaces.metrics import fleet as fleet_metrics
from service.surfaces.metrics.fleet import LARGEST, FleetMetrics, added
from service.surfaces.metrics.page import MetricsPage, MetricsUnavailable

# A gauge that is new belongs here if the workers' sum says what it describes; else in LARGEST.
ADDED = {
    "lectorium_in_flight_requests",
    "lectorium_queue_rows",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one, for the path of a socket has its limits."""
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


def worker(fill: Callable[[CollectorRegistry], None]) -> list[Metric]:
    registry = CollectorRegistry()
    fill(registry)
    return list(registry.collect())


def values(families: list[Metric]) -> dict[tuple[str, tuple[str, ...]], float]:
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_counters_of_equal_labels_are_added_up_and_others_kept_apart() -> None:
    def count(label: str, by: float) -> list[Metric]:
        return worker(lambda registry: Counter("asked", "", ["way"], registry=registry).labels(label).inc(by))

    found = values(added([count("http", 1), count("grpc", 2), count("http", 4)]))
    assert found["asked_total", ("http",)] == 5
    assert found["asked_total", ("grpc",)] == 2


def test_histograms_are_added_up_bucket_by_bucket() -> None:
    def observe(*seconds: float) -> list[Metric]:
        def fill(registry: CollectorRegistry) -> None:
            histogram = Histogram("took", "", buckets=(1, 2), registry=registry)
            for value in seconds:
                histogram.observe(value)

        return worker(fill)

    one, two = observe(0.5, 1.5), observe(0.5, 9)
    found = values(added([one, two]))
    counts = {labels: value for (name, labels), value in found.items() if name == "took_bucket"}
    assert counts == {("1.0",): 2, ("2.0",): 3, ("+Inf",): 4}
    assert (found["took_count", ()], found["took_sum", ()]) == (4, 11.5)


@pytest.mark.parametrize(("name", "whole"), [("rows", 7), ("process_start_time_seconds", 4), ("python_info", 4)])
def test_gauges_are_added_up_but_for_those_of_which_the_largest_stands_for_all(name: str, whole: float) -> None:
    def show(value: float) -> list[Metric]:
        return worker(lambda registry: Gauge(name, "", registry=registry).set(value))

    assert values(added([show(3), show(4)])) == {(name, ()): whole}


def test_it_is_known_of_every_gauge_whether_it_is_added_up() -> None:
    assert metrics  # which defines ours
    gauges = {metric.name for metric in REGISTRY.collect() if metric.type == "gauge"}
    assert {name for name in gauges if name not in LARGEST and not name.endswith("_info")} == ADDED


async def test_what_a_worker_tells_is_what_it_has(folder: Path) -> None:
    odd = Gauge("lectorium_test_odd", 'A "quoted"\nline', ["label"])
    odd.labels('a\\"b\n').set(math.inf)
    odd.labels("none").set(math.nan)
    try:
        async with FleetMetrics(folder, 1, 1) as alone, FleetMetrics(folder, 2, 2), FleetMetrics(folder, 1, 2) as pair:
            one, two = await alone.registry(), await pair.registry()
        told = [metric for metric in two.collect() if metric.name == odd._name]
        assert generate_latest(_Of(told)) == generate_latest(_Of(odd.collect()))
        assert {(m.name, m.type, m.documentation) for m in two.collect()} == {
            (m.name, m.type, m.documentation) for m in one.collect()
        }
    finally:
        REGISTRY.unregister(odd)


class _Of(CollectorRegistry):
    def __init__(self, families: Any) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Any:
        return iter(self._families)


async def test_all_workers_are_counted_whichever_is_asked(folder: Path) -> None:
    counter = Counter("lectorium_test_whole", "")
    counter.inc(5)
    try:
        async with FleetMetrics(folder, 1, 3) as one, FleetMetrics(folder, 2, 3) as two, FleetMetrics(folder, 3, 3):
            for asked in (one, two):
                assert (await asked.registry()).get_sample_value("lectorium_test_whole_total") == 15
    finally:
        REGISTRY.unregister(counter)


@asynccontextmanager
async def sibling(folder: Path, says: bytes | None) -> AsyncIterator[None]:
    """Worker 2 of 2: says that and closes, or says nothing for longer than anyone waits."""

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if says is None:
            writers.append(writer)
        else:
            writer.write(says)
            writer.close()

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(answer, folder / "2")
    yield
    server.close()
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("says", [b"", b'[["lectorium_batch_rows", "Rows', None], ids=["nothing", "half", "silence"])
async def test_a_worker_that_does_not_answer_fails_the_whole(
    folder: Path, says: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_metrics, "ANSWER_S", 0.1)
    async with sibling(folder, says), FleetMetrics(folder, 1, 2) as asked:
        with pytest.raises(MetricsUnavailable, match="worker 2 gave no metrics"):
            await asked.registry()


async def test_a_worker_that_is_gone_fails_the_whole_with_503_and_the_reason(folder: Path) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async with FleetMetrics(folder, 1, 2) as asked:
        scope = {"type": "http", "headers": [], "query_string": b""}
        await MetricsPage(asked.registry)(scope, receive, send)
    assert sent[0]["status"] == 503
    assert b"worker 2 gave no metrics: [Errno 2] No such file" in sent[1]["body"]


async def test_a_folder_that_cannot_be_written_costs_no_metrics_and_one_line_of_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "1.json").mkdir()
    (folder / "1.json" / "full").touch()
    async with FleetMetrics(folder, 1, 1) as asked:
        for _ in range(2):
            assert list((await asked.registry()).collect())
    assert caplog.text.count("lost if it is killed") == 1


async def test_a_worker_counts_on_from_what_the_one_before_it_had_counted(folder: Path) -> None:
    counter, gauge = Counter("lectorium_test_before", ""), Gauge("lectorium_test_now", "")
    counter.inc(5)
    gauge.set(3)
    try:
        async with FleetMetrics(folder, 2, 2):
            pass
        async with FleetMetrics(folder, 1, 2) as asked:
            while_away = await asked.registry()
            async with FleetMetrics(folder, 2, 2):
                after = await asked.registry()
        # Each is this process, so what lives is counted once for itself.
        assert while_away.get_sample_value("lectorium_test_before_total") == 5 + 5
        assert while_away.get_sample_value("lectorium_test_now") == 3
        assert after.get_sample_value("lectorium_test_before_total") == 5 + 5 + 5
        assert after.get_sample_value("lectorium_test_now") == 3 + 3
    finally:
        REGISTRY.unregister(counter)
        REGISTRY.unregister(gauge)
