"""Reads the state of the GPU from NVIDIA's management library (NVML)."""

import ctypes
import logging
from functools import cache
from typing import NamedTuple

import pynvml

from service.engine.device import Device

_BUS_ID_LENGTH = 32

log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """The state of a GPU at one moment.

    ``utilisation`` is the share of the last sampling period, a second or less, in which a kernel ran, 0 to 1.
    ``power_w`` is None if the GPU does not report it.
    """

    uuid: str
    utilisation: float
    memory_bytes: int
    memory_used_bytes: int
    power_w: float | None


def readings(device: Device) -> list[Reading]:
    """The state of the device, with all processes on it; none on the CPU, or if NVML reports an error.

    A scrape does not fail because of it: the error is logged, and the metrics are absent.
    """
    if device.kind == "cpu":
        return []
    try:
        pynvml.nvmlInit()  # reference-counted, and cheap after the first call
        return [_read(pynvml.nvmlDeviceGetHandleByPciBusId(bus_id(device.number).encode()))]
    except (pynvml.NVMLError, OSError) as error:
        _warn_once(f"no GPU metrics: {error}")
        return []


@cache
def bus_id(number: int) -> str:
    """The PCI bus id of CUDA device ``number``: NVML has numbers of its own, and ignores CUDA_VISIBLE_DEVICES.

    Raises:
        OSError: there is no driver, or no such device.
    """
    driver = ctypes.CDLL("libcuda.so.1")
    found, text = ctypes.c_int(), ctypes.create_string_buffer(_BUS_ID_LENGTH)
    calls = (
        ("cuInit", (0,)),
        ("cuDeviceGet", (ctypes.byref(found), number)),
        ("cuDeviceGetPCIBusId", (text, _BUS_ID_LENGTH, found)),
    )
    for name, arguments in calls:
        if code := getattr(driver, name)(*arguments):
            raise OSError(f"{name} of CUDA device {number}: error {code}")
    return text.value.decode()


@cache
def _warn_once(message: str) -> None:
    log.warning(message)


def _read(handle: object) -> Reading:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        power_w = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000  # from milliwatts
    except pynvml.NVMLError_NotSupported:
        power_w = None
    utilisation = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    return Reading(pynvml.nvmlDeviceGetUUID(handle), utilisation, memory.total, memory.used, power_w)
