"""The metrics of all workers as one: each tells its own on a private socket, and whichever is asked adds them up."""

import asyncio
import json
import operator
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric

from service.surfaces.metrics_page import MetricsUnavailable

ANSWER_S = 2.0
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
        folder: private to the workers; each has a socket there.
    """

    def __init__(self, folder: Path, number: int, workers: int) -> None:
        self._folder = folder
        self._number = number
        self._workers = workers

    async def __aenter__(self) -> "FleetMetrics":
        self._server = await asyncio.start_unix_server(_tell, self._folder / str(self._number))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def registry(self) -> CollectorRegistry:
        """The metrics of all workers, added up.

        Raises:
            MetricsUnavailable: a worker does not answer.
        """
        others = [number for number in range(1, self._workers + 1) if number != self._number]
        told = await asyncio.gather(*map(self._ask, others))
        registry = CollectorRegistry(auto_describe=True)
        registry.register(_Collected(added([REGISTRY.collect(), *told])))
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
        except (OSError, ValueError) as error:
            raise MetricsUnavailable(f"worker {number} gave no metrics: {error}") from error


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
def _tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    told = [
        [metric.name, metric.documentation, metric.type, metric.unit, [s[:3] for s in metric.samples]]
        for metric in REGISTRY.collect()
    ]
    writer.write(json.dumps(told).encode())
    writer.close()


def _heard(told: bytes) -> list[Metric]:
    metrics = []
    for *described, samples in json.loads(told):
        metric = Metric(*described)
        for sample in samples:
            metric.add_sample(*sample)
        metrics.append(metric)
    return metrics
