"""Where the models run, and the state of the GPU under Triton's names; read at each scrape."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engine import Model
from service.engine.device import Device
from service.engine.nvml import Reading, readings

_GPU: dict[str, tuple[str, Callable[[Reading], float | None]]] = {
    "nv_gpu_utilization": ("Share of the time a kernel was running, 0 to 1.", lambda gpu: gpu.utilisation),
    "nv_gpu_memory_total_bytes": ("Memory of the GPU.", lambda gpu: gpu.memory_bytes),
    "nv_gpu_memory_used_bytes": ("Memory in use, by all processes.", lambda gpu: gpu.memory_used_bytes),
    "nv_gpu_power_usage": ("Power drawn, in watts.", lambda gpu: gpu.power_w),
}


class DeviceMetrics(Collector):
    """Collects from ``models``, those served at the time of a scrape, and from the ``device``."""

    def __init__(self, models: Callable[[], Iterable[Model]], device: Device) -> None:
        self._models = models
        self._device = device

    def collect(self) -> Iterator[Metric]:
        """The execution providers of every model, and the gauges of each GPU."""
        # Of names that end in _info, the fleet takes the largest value instead of adding up the workers'.
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
