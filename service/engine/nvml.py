"""What NVIDIA's management library says of the GPU we run on, whenever it is asked."""

import ctypes
import logging
from functools import cache
from typing import NamedTuple

import pynvml

from service.engine.device import Device

_BUS_ID_LENGTH = 32

log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """One moment; ``utilisation`` is the share of the last second or less in which a kernel ran, 0 to 1.

    ``power_w`` is None where the GPU does not tell.
    """

    uuid: str
    utilisation: float
    memory_bytes: int
    memory_used_bytes: int
    power_w: float | None


def readings(device: Device) -> list[Reading]:
    """That of the device, with all processes on it; none on the CPU, or where the library does not say.

    A scrape goes on without it: what is missing is logged, and absent from the metrics.
    """
    if device.kind == "cpu":
        return []
    try:
        pynvml.nvmlInit()  # counted, and cheap after the first
        return [_read(pynvml.nvmlDeviceGetHandleByPciBusId(bus_id(device.number).encode()))]
    except (pynvml.NVMLError, OSError) as error:
        _say_once(f"no GPU metrics: {error}")
        return []


@cache
def bus_id(number: int) -> str:
    """The PCI bus id of CUDA's device ``number``: NVML numbers otherwise, and knows no CUDA_VISIBLE_DEVICES.

    Raises:
        OSError: the driver is not there, or has no such device.
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
def _say_once(what: str) -> None:
    log.warning(what)


def _read(handle: object) -> Reading:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        power_w = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000  # from milliwatts
    except pynvml.NVMLError_NotSupported:
        power_w = None
    utilisation = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    return Reading(pynvml.nvmlDeviceGetUUID(handle), utilisation, memory.total, memory.used, power_w)
