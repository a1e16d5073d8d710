"""The metrics of all workers together: each serves its own on a private socket, and the one that is scraped adds them.

A worker's counts outlive it: it writes them to a file, which is read in its place until its replacement runs, and from
which the replacement counts on. Whatever was reported is in the file, so no counter ever falls; a worker that is killed
loses what it counted since it last wrote, about a second before.
"""

import asyncio
import json
import logging
import operator
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric

from service.surfaces.metrics.page import MetricsUnavailable

log = logging.getLogger(__name__)

ANSWER_S = 2.0
# Seconds between two writes of a worker's counts, and the share of its time that writing may take.
WRITE_S = 1.0
WRITE_SHARE = 0.005
# The workers' values are added up, except for these and all names that end in _info: they are the same for every
# worker, or a time, and the largest value is taken.
LARGEST = frozenset(
    {
        "process_start_time_seconds",
        "process_max_fds",
        "nv_gpu_utilization",
        "nv_gpu_memory_total_bytes",
        "nv_gpu_memory_used_bytes",
        "nv_gpu_power_usage",
    }
)

Series = tuple[str, tuple[tuple[str, str], ...]]


class FleetMetrics:
    """The metrics of worker ``number`` (from 1) of ``workers``; enter it to let the others read them.

    Args:
        folder: private to the workers; each has a socket and a file in it.
    """

    def __init__(self, folder: Path, number: int, workers: int) -> None:
        self._folder = folder
        self._number = number
        self._workers = workers
        # The counts of the worker that this one replaces.
        self._inherited = self._saved(number) or []
        self._saving = True

    async def __aenter__(self) -> "FleetMetrics":
        self._server = await asyncio.start_unix_server(self._send, self._folder / str(self._number))
        self._writing = asyncio.create_task(self._write_again())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writing.cancel()
        self._save(_to_json(self._own()))
        self._server.close()

    async def registry(self) -> CollectorRegistry:
        """The metrics of all workers, added up.

        Raises:
            MetricsUnavailable: a worker does not answer, and has left no file.
        """
        numbers = [number for number in range(1, self._workers + 1) if number != self._number]
        others = await asyncio.gather(*map(self._fetch, numbers))
        registry = CollectorRegistry(auto_describe=True)
        own = self._own()
        self._save(_to_json(own))
        registry.register(_Families(added([own, *others])))
        return registry

    async def _fetch(self, number: int) -> list[Metric]:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._folder / str(number))
                try:
                    data = await reader.read()
                finally:
                    writer.close()
            return _from_json(data)
        except TimeoutError as error:
            raise MetricsUnavailable(f"worker {number} gave no metrics within {ANSWER_S:g} s") from error
        except (OSError, ValueError) as error:  # it has ended, and will be replaced
            if counted := self._saved(number):
                return counted
            raise MetricsUnavailable(f"worker {number} gave no metrics: {error}") from error

    def _send(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = _to_json(self._own())
        self._save(data)
        writer.write(data)
        writer.close()

    async def _write_again(self) -> None:
        """Write once a second, or less often if it takes long."""
        while True:
            began = time.thread_time()
            self._save(_to_json(self._own()))
            await asyncio.sleep(max(WRITE_S, (time.thread_time() - began) / WRITE_SHARE))

    def _own(self) -> list[Metric]:
        own = list(REGISTRY.collect())
        return added([own, self._inherited]) if self._inherited else own

    def _save(self, data: bytes) -> None:
        """Write it to the file, in one piece, before anybody reads it."""
        file = self._file(self._number)
        try:
            new = file.with_suffix(".new")
            new.write_bytes(data)
            new.replace(file)
        except OSError as error:
            if self._saving:
                log.warning("this worker's counts from now on are lost if it is killed: %s", error)
            self._saving = False
        else:
            self._saving = True

    def _saved(self, number: int) -> list[Metric] | None:
        """The counts in that worker's file, without gauges, which end with the worker; None if there is no file."""
        try:
            data = self._file(number).read_bytes()
        except OSError:
            return None
        return [metric for metric in _from_json(data) if metric.type != "gauge"]

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.json"


def added(workers: Iterable[Iterable[Metric]]) -> list[Metric]:
    """All families of all workers; series of the same name and labels are added up, except those in `LARGEST`."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[Series, float]] = {}
    for family in (family for worker in workers for family in worker):
        families.setdefault(family.name, Metric(family.name, family.documentation, family.type, family.unit))
        total = values.setdefault(family.name, {})
        join = max if family.name in LARGEST or family.name.endswith("_info") else operator.add
        for sample in family.samples:
            series = (sample.name, tuple(sorted(sample.labels.items())))
            total[series] = join(total[series], sample.value) if series in total else sample.value
    for name, family in families.items():
        for (sample_name, labels), value in values[name].items():
            family.add_sample(sample_name, dict(labels), value)
    return list(families.values())


class _Families:
    """A collector of families that were collected before."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


# In JSON: parsing Prometheus' text format takes its library over ten times as long, on the loop that serves. Not with
# orjson, which has no infinity.
def _to_json(metrics: Iterable[Metric]) -> bytes:
    data = [
        [metric.name, metric.documentation, metric.type, metric.unit, [s[:3] for s in metric.samples]]
        for metric in metrics
    ]
    return json.dumps(data).encode()


def _from_json(data: bytes) -> list[Metric]:
    metrics = []
    for *described, samples in json.loads(data):
        metric = Metric(*described)
        for sample in samples:
            metric.add_sample(*sample)
        metrics.append(metric)
    return metrics
