"""Where the models run, and how the GPU does: read whenever the metrics are; the GPU's by Triton's names."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engine import Model
from service.engine.device import Device
from service.engine.nvml import Reading, readings

_GPU: dict[str, tuple[str, Callable[[Reading], float | None]]] = {
    "nv_gpu_utilization": ("Share of the time in which a kernel ran, 0 to 1.", lambda gpu: gpu.utilisation),
    "nv_gpu_memory_total_bytes": ("Memory of the GPU.", lambda gpu: gpu.memory_bytes),
    "nv_gpu_memory_used_bytes": ("Memory in use, by whomever.", lambda gpu: gpu.memory_used_bytes),
    "nv_gpu_power_usage": ("Watts.", lambda gpu: gpu.power_w),
}


class DeviceMetrics(Collector):
    """Of the ``models`` that are served at the time of a scrape, and of the ``device``."""

    def __init__(self, models: Callable[[], Iterable[Model]], device: Device) -> None:
        self._models = models
        self._device = device

    def collect(self) -> Iterator[Metric]:
        """The providers of every model, and the GPU's gauges where there is one."""
        # The name ends in _info, by which workers' metrics are known to say the same of each, not to be added up.
        providers = GaugeMetricFamily(
            "lectorium_model_provider_info",
            "1 for each execution provider that runs nodes of the model.",
            labels=("model", "version", "provider"),
        )
        for model in self._models():
            for provider in model.providers:
                providers.add_metric((model.name, model.version, provider), 1)
        yield providers
        gpus = readings(self._device)
        for name, (text, read) in _GPU.items() if gpus else ():
            gauge = GaugeMetricFamily(name, text, labels=("gpu_uuid",))
            for gpu in gpus:
                if (value := read(gpu)) is not None:
                    gauge.add_metric((gpu.uuid,), value)
            yield gauge
