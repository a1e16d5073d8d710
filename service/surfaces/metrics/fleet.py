"""The metrics of all workers as one: each tells its own on a private socket, and whichever is asked adds them up.

What a worker has counted outlives it: it is kept in a file, from which the worker that takes its place counts on, and
which stands for it meanwhile. The file has all that was ever told, so no counter falls; a worker that is killed
loses what it counted since it last wrote, a second or so before.
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
# Between two times that a worker writes down what it has counted, and the share of its time that writing may take.
WRITE_S = 1.0
WRITE_SHARE = 0.005
# What workers have is added up, but these say the same of each, or a time: the largest stands for all. So it is
# with every metric whose name ends in _info.
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
    """Of worker ``number`` of ``workers``, from 1; enter it, and the others can ask.

    Args:
        folder: private to the workers; each has a socket there, and a file.
    """

    def __init__(self, folder: Path, number: int, workers: int) -> None:
        self._folder = folder
        self._number = number
        self._workers = workers
        # What those counted whose place this one takes.
        self._before = self._counted(number) or []
        self._keeps = True

    async def __aenter__(self) -> "FleetMetrics":
        self._server = await asyncio.start_unix_server(self._tell, self._folder / str(self._number))
        self._writing = asyncio.create_task(self._write_again())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writing.cancel()
        self._keep(_told(self._own()))
        self._server.close()

    async def registry(self) -> CollectorRegistry:
        """The metrics of all workers, added up.

        Raises:
            MetricsUnavailable: a worker does not answer.
        """
        others = [number for number in range(1, self._workers + 1) if number != self._number]
        told = await asyncio.gather(*map(self._ask, others))
        registry = CollectorRegistry(auto_describe=True)
        own = self._own()
        self._keep(_told(own))
        registry.register(_Collected(added([own, *told])))
        return registry

    async def _ask(self, number: int) -> list[Metric]:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._folder / str(number))
                try:
                    told = await reader.read()
                finally:
                    writer.close()
            return _heard(told)
        except TimeoutError as error:
            raise MetricsUnavailable(f"worker {number} gave no metrics in {ANSWER_S:g} s") from error
        except (OSError, ValueError) as error:  # it has ended, and another will take its place
            if counted := self._counted(number):
                return counted
            raise MetricsUnavailable(f"worker {number} gave no metrics: {error}") from error

    def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = _told(self._own())
        self._keep(told)
        writer.write(told)
        writer.close()

    async def _write_again(self) -> None:
        """Write once a second, or less often where it takes long."""
        while True:
            began = time.thread_time()
            self._keep(_told(self._own()))
            await asyncio.sleep(max(WRITE_S, (time.thread_time() - began) / WRITE_SHARE))

    def _own(self) -> list[Metric]:
        own = list(REGISTRY.collect())
        return added([own, self._before]) if self._before else own

    def _keep(self, told: bytes) -> None:
        """Have it in the file, whole, before anybody is told."""
        file = self._file(self._number)
        try:
            new = file.with_suffix(".new")
            new.write_bytes(told)
            new.replace(file)
        except OSError as error:
            if self._keeps:
                log.warning("what is counted from now on is lost if this worker is killed: %s", error)
            self._keeps = False
        else:
            self._keeps = True

    def _counted(self, number: int) -> list[Metric] | None:
        """What the file of that worker has, less what is true only of one that lives; None where there is no file."""
        try:
            told = self._file(number).read_bytes()
        except OSError:
            return None
        return [metric for metric in _heard(told) if metric.type != "gauge"]

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.json"


def added(workers: Iterable[Iterable[Metric]]) -> list[Metric]:
    """One family for each that any worker has; series of the same name and labels are added up, or see `LARGEST`."""
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


class _Collected:
    """Families that a registry can hold."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


# As JSON: Prometheus' own text takes its library over ten times as long to read, on the loop that serves. Not by
# orjson, which has no infinity.
def _told(metrics: Iterable[Metric]) -> bytes:
    told = [
        [metric.name, metric.documentation, metric.type, metric.unit, [s[:3] for s in metric.samples]]
        for metric in metrics
    ]
    return json.dumps(told).encode()


def _heard(told: bytes) -> list[Metric]:
    metrics = []
    for *described, samples in json.loads(told):
        metric = Metric(*described)
        for sample in samples:
            metric.add_sample(*sample)
        metrics.append(metric)
    return metrics
