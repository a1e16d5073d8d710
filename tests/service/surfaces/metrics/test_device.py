from functools import partial
from pathlib import Path

import httpx
import pytest
from google.protobuf.json_format import ParseDict
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from protos import open_inference_pb2
from service.config import Config
from service.engine import Model
from service.engine.device import CPU, CPU_PROVIDER, Device
from service.engine.nvml import Reading
from service.engine.session import Session
from service.package import read_package
from service.package.serving import All, VersionPolicy
from service.surfaces.metrics import device as device_metrics
from service.surfaces.metrics.device import DeviceMetrics
from service.surfaces.oip.model import configuration
from tests.serving import Server


def scraped(models: list[Model], device: Device) -> list[str]:
    registry = CollectorRegistry()
    registry.register(DeviceMetrics(lambda: models, device))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_the_providers_of_the_models_served_now_are_shown(repository: Path) -> None:
    models = [Model(read_package(repository / "tiny" / "2"), partial(Session, intra_op=1))]
    wanted = f'lectorium_model_provider_info{{model="tiny",provider="{CPU_PROVIDER}",version="2"}} 1.0'
    assert scraped(models, CPU) == [wanted]
    models.clear()
    assert scraped(models, CPU) == []


def test_a_server_shows_the_provider_of_every_model_it_serves(server: Server) -> None:
    families = text_string_to_metric_families(httpx.get(server.metrics).raise_for_status().text)
    [providers] = [family.samples for family in families if family.name == "lectorium_model_provider_info"]
    found = {(sample.labels["model"], sample.labels["version"], sample.labels["provider"]) for sample in providers}
    assert {("tiny", "1", CPU_PROVIDER), ("tiny", "2", CPU_PROVIDER), ("slow", "1", CPU_PROVIDER)} <= found


@pytest.mark.parametrize(
    ("device", "group"),
    [(CPU, {"kind": "KIND_CPU", "count": 1}), (Device("cuda", 3), {"kind": "KIND_GPU", "count": 1, "gpus": [3]})],
    ids=str,
)
def test_the_configuration_says_where_a_model_runs(device: Device, group: object, repository: Path) -> None:
    model = Model(read_package(repository / "tiny" / "2"), partial(Session, intra_op=1))
    model.session.device = device
    said = configuration(model, VersionPolicy(all=All()), Config())
    assert said["instance_group"] == [group]
    ParseDict(said["instance_group"][0], open_inference_pb2.ModelInstanceGroup())


def test_a_gpu_is_shown_by_tritons_names_without_what_it_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_metrics, "readings", lambda device: [Reading("GPU-1", 0.5, 80, 30, None)])
    assert scraped([], Device("cuda")) == [
        'nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5',
        'nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 80.0',
        'nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 30.0',
    ]
