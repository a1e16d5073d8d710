"""What the graphs run on: the CPU, or a CUDA device that has been tested.

If CUDA cannot be loaded, ONNX Runtime falls back to the CPU and only prints a message. So a device counts as working
only after a session was made that reports the CUDA provider and gave the right answer.
"""

import ctypes
import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort

from service.config import Config
from service.errors import InvalidConfig

CPU_PROVIDER, CUDA_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"
WHEELS = ("onnxruntime", "onnxruntime-gpu")
# An ONNX model of one node, y = Neg(x) on one float, which needs a kernel launch. It is spelled out in bytes because
# the server is installed without the onnx package; a test compares it with what that package writes.
PROBE = bytes.fromhex(
    "080a3a360a0b0a017812017922034e6567120570726f62655a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001011"
)
_ARENAS = {"same_as_requested": "kSameAsRequested", "next_power_of_two": "kNextPowerOfTwo"}
_FATAL_ONLY, _WARNINGS = 4, 2  # severities of ONNX Runtime's log; the second is its default

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What the sessions of a process run on.

    Attributes:
        kind: cpu or cuda.
        number: of the CUDA device.
        own_memory: whether rows are copied to and from buffers on the device; else graphs use the host's arrays.
        records: whether runs of one size are recorded as a CUDA graph and replayed.
        options: of the CUDA provider, by ONNX Runtime's names.
    """

    kind: Literal["cpu", "cuda"]
    number: int = 0
    own_memory: bool = False
    records: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"CUDA device {self.number}" if self.kind == "cuda" else "CPU"

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the provider."""
        return CUDA_PROVIDER if self.kind == "cuda" else CPU_PROVIDER

    @property
    def providers(self) -> list[Any]:
        """For a session: this device's provider with its options, then the CPU's for the nodes that it cannot run."""
        if self.kind == "cpu":
            return [CPU_PROVIDER]
        options = {"device_id": str(self.number), "enable_cuda_graph": str(int(self.records)), **self.options}
        return [(CUDA_PROVIDER, options), CPU_PROVIDER]


CPU = Device("cpu")


def choose(config: Config) -> Device:
    """The device that the configuration asks for; for ``auto`` CUDA if it works, else the CPU.

    Raises:
        InvalidConfig: it asks for CUDA, which does not work; or it names more devices than there are workers.
    """
    if config.device == "cpu":
        return CPU
    if len(config.gpus) > config.workers:
        raise InvalidConfig(
            f"gpus has {len(config.gpus)} devices; {config.workers} worker(s) use one each; "
            f"name at most {config.workers}, or set workers to {len(config.gpus)}"
        )
    device = cuda(config)
    reason = why_not(replace(device, records=False))
    if reason is None:
        log.info("device: %s", device)
        return device
    if config.device == "cuda":
        raise InvalidConfig(f"device is cuda, which does not work here: {reason}")
    # If the installed library has CUDA, a CPU is not what the user expects.
    level = logging.WARNING if CUDA_PROVIDER in ort.get_available_providers() else logging.INFO
    log.log(level, "device: CPU, because CUDA does not work here: %s", reason)
    return CPU


def cuda(config: Config) -> Device:
    """The CUDA device that the configuration names, whether or not it works."""
    options = {
        "arena_extend_strategy": _ARENAS[config.gpu_arena],
        "cudnn_conv_algo_search": config.cudnn_search.upper(),
        "use_tf32": str(int(config.gpu_tf32)),
    }
    if config.gpu_memory_limit is not None:
        options["gpu_mem_limit"] = str(config.gpu_memory_limit)
    return Device("cuda", config.gpus[0], own_memory=True, records=config.cuda_graphs, options=options)


def why_not(device: Device) -> str | None:
    """Why the CUDA device cannot be used; None if a session has computed on it."""
    _warn_of_two_wheels()
    if CUDA_PROVIDER not in ort.get_available_providers():
        return f"onnxruntime {ort.__version__} is built without CUDA; install onnxruntime-gpu instead"
    with redirect_stdout(io.StringIO()):  # it prints what it does not find; the reason below is clearer
        ort.preload_dlls()  # CUDA and cuDNN from NVIDIA's wheels, where the dynamic linker does not look
    ort.set_default_logger_severity(_FATAL_ONLY)  # we report the reason ourselves
    try:
        session = ort.InferenceSession(PROBE, providers=device.providers, enable_fallback=0)
        [answer] = session.run(None, {"x": np.ones(1, "f4")})
    except Exception as error:  # ONNX Runtime's exception classes have no narrower common base
        return str(error)
    finally:
        ort.set_default_logger_severity(_WARNINGS)
    if device.provider not in session.get_providers():
        return _linking_error()
    return None if answer == -1 else f"{device} gives {answer} for -1"


def _linking_error() -> str:
    """Why the provider's library cannot be loaded; ONNX Runtime only logs it."""
    path = Path(ort.__file__).with_name("capi") / "libonnxruntime_providers_cuda.so"
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return str(error)
    return "ONNX Runtime used the CPU instead and gave no reason"


def _warn_of_two_wheels() -> None:
    installed = []
    for wheel in WHEELS:
        try:
            installed.append(f"{wheel} {version(wheel)}")
        except PackageNotFoundError:
            continue
    if len(installed) > 1:
        log.warning(
            "%s are both installed and overwrite each other's files; uninstall both, then install one",
            " and ".join(installed),
        )
