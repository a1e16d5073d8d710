"""Where the graphs run: the CPU, or a CUDA device that has been seen to work.

ONNX Runtime falls back to the CPU where CUDA cannot be loaded, and only prints. So nothing is taken for true here
but a session that was made, says it is on CUDA, and computed there.
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
# An ONNX model of one node, y = Neg(x) over one float: a kernel must be launched to answer it. Written out, because
# serving installs without the onnx package; a test has that package write the same bytes.
PROBE = bytes.fromhex(
    "080a3a360a0b0a017812017922034e6567120570726f62655a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001011"
)
_ARENAS = {"same_as_requested": "kSameAsRequested", "next_power_of_two": "kNextPowerOfTwo"}
_FATAL_ONLY, _WARNINGS = 4, 2  # severities of the library's log; the second is its own default

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What the sessions of a process run on.

    ``own_memory``: rows are kept in buffers of the device's own and copied there and back; else the graphs read
    and write the host's arrays. ``records``: runs of one size are recorded as a CUDA graph and replayed. ``options``
    are the CUDA provider's, in ONNX Runtime's words.
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
        """ONNX Runtime's name of the provider that is wanted."""
        return CUDA_PROVIDER if self.kind == "cuda" else CPU_PROVIDER

    @property
    def providers(self) -> list[Any]:
        """For a session: the provider wanted with its options, and the CPU's for the nodes that CUDA's cannot run."""
        if self.kind == "cpu":
            return [CPU_PROVIDER]
        options = {"device_id": str(self.number), "enable_cuda_graph": str(int(self.records)), **self.options}
        return [(CUDA_PROVIDER, options), CPU_PROVIDER]


CPU = Device("cpu")


def choose(config: Config) -> Device:
    """The device the configuration asks for; for ``auto`` CUDA where it works, else the CPU.

    Raises:
        InvalidConfig: it asks for CUDA, which does not work here, and why; or for more devices than workers.
    """
    if config.device == "cpu":
        return CPU
    if len(config.gpus) > config.workers:
        raise InvalidConfig(
            f"gpus: {len(config.gpus)} came for {config.workers} worker(s), each of which drives one; set workers too"
        )
    device = cuda(config)
    reason = why_not(replace(device, records=False))
    if reason is None:
        log.info("device: %s", device)
        return device
    if config.device == "cuda":
        raise InvalidConfig(f"device: cuda is wanted, and does not work here: {reason}")
    # Whoever has installed the library with CUDA expects it.
    level = logging.WARNING if CUDA_PROVIDER in ort.get_available_providers() else logging.INFO
    log.log(level, "device: CPU, because CUDA does not work here: %s", reason)
    return CPU


def cuda(config: Config) -> Device:
    """The CUDA device the configuration names, whether or not it works."""
    options = {
        "arena_extend_strategy": _ARENAS[config.gpu_arena],
        "cudnn_conv_algo_search": config.cudnn_search.upper(),
        "use_tf32": str(int(config.gpu_tf32)),
    }
    if config.gpu_memory_limit is not None:
        options["gpu_mem_limit"] = str(config.gpu_memory_limit)
    return Device("cuda", config.gpus[0], own_memory=True, records=config.cuda_graphs, options=options)


def why_not(device: Device) -> str | None:
    """Why the CUDA device cannot be used; None where it can: a session has computed on it."""
    _warn_of_two_wheels()
    if CUDA_PROVIDER not in ort.get_available_providers():
        return f"onnxruntime {ort.__version__} is built without CUDA; onnxruntime-gpu in its place has it"
    with redirect_stdout(io.StringIO()):  # it prints what it does not find; the reason below says it better
        ort.preload_dlls()  # CUDA and cuDNN from NVIDIA's wheels, which the dynamic linker does not search
    ort.set_default_logger_severity(_FATAL_ONLY)  # the reason is ours to tell
    try:
        session = ort.InferenceSession(PROBE, providers=device.providers, enable_fallback=0)
        [answer] = session.run(None, {"x": np.ones(1, "f4")})
    except Exception as error:  # the library's own exception classes share no narrower base
        return str(error)
    finally:
        ort.set_default_logger_severity(_WARNINGS)
    if device.provider not in session.get_providers():
        return _linking_error()
    return None if answer == -1 else f"{device} gives {answer} for -1"


def _linking_error() -> str:
    """Why the provider's library cannot be loaded: the library logs it and tells nobody."""
    path = Path(ort.__file__).with_name("capi") / "libonnxruntime_providers_cuda.so"
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return str(error)
    return "ONNX Runtime took the CPU in its place and gave no reason"


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
