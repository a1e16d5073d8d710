import logging
from types import SimpleNamespace

import pynvml
import pytest

from service.engine import nvml
from service.engine.device import CPU, Device
from service.engine.nvml import Reading, bus_id, readings


def has_driver() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


no_driver = pytest.mark.skipif(has_driver(), reason="there is an NVIDIA driver here")
GPU = Device("cuda", 1)


def stand_in(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """NVML as it answers for one GPU; ``changes`` are other answers."""
    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByPciBusId": lambda bus: {b"0000:3B:00.0": "second"}[bus],
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=37),
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=80 << 30, used=3 << 30),
        "nvmlDeviceGetPowerUsage": lambda handle: 71_500,
    }
    for name, answer in (answers | changes).items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.setattr(nvml, "bus_id", lambda number: {1: "0000:3B:00.0"}[number])


def test_the_cpu_has_no_gpu_to_read() -> None:
    assert readings(CPU) == []


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    nvml._warn_once.cache_clear()


@no_driver
def test_without_a_driver_there_is_nothing_to_read_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert readings(GPU) == readings(GPU) == []
    assert caplog.text.count("no GPU metrics: NVML Shared Library Not Found") == 1


@no_driver
def test_without_a_driver_cudas_device_has_no_bus_id() -> None:
    with pytest.raises(OSError, match=r"libcuda.so.1"):
        bus_id(0)


def test_a_reading_is_of_the_device_on_cudas_bus_in_our_units(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    assert readings(GPU) == [Reading("GPU-second", 0.37, 80 << 30, 3 << 30, 71.5)]


def test_a_gpu_that_does_not_tell_its_power_tells_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: object) -> float:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    stand_in(monkeypatch, nvmlDeviceGetPowerUsage=refuse)
    assert readings(GPU) == [Reading("GPU-second", 0.37, 80 << 30, 3 << 30, None)]
