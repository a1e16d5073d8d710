"""Opens the graph in a file with ONNX Runtime, and reads what the session tells about it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from service.engine.device import CPU, Device
from service.engine.tensors import DATATYPES
from service.errors import InvalidPackage
from service.package import Datatype, TensorSpec

_CODES = {"bool": "?", "float16": "f2", "float": "f4", "double": "f8", "string": "O"} | {
    f"{kind}{bits}": f"{kind[0]}{bits // 8}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}
# The datatypes of tensors by ONNX Runtime's names, such as ``tensor(float)``.
GRAPH_DATATYPES: dict[str, Datatype] = {f"tensor({name})": DATATYPES[np.dtype(code)] for name, code in _CODES.items()}
_HOST_MEMORY = ("Cpu", "CudaPinned")

# Opens the graph in a file, as `open_graph` does.
OpenGraph = Callable[[Path], ort.InferenceSession]

log = logging.getLogger(__name__)


def open_graph(path: Path, intra_op: int, device: Device = CPU) -> ort.InferenceSession:
    """ONNX Runtime's session of the graph in the file; each run has ``intra_op`` threads.

    Raises:
        InvalidPackage: the file has no graph that can run on the device.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = intra_op
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads of the pool would spin on the core that the event loop needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = ort.InferenceSession(str(path), options, providers=device.providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exception classes have no narrower common base
        if device.records:  # a graph with nodes on the CPU cannot be recorded
            session = open_graph(path, intra_op, replace(device, records=False))
            log.warning("%s: runs without CUDA graphs: %s", path, error)
            return session
        raise InvalidPackage(f"{path}: ONNX Runtime cannot load it on {device}: {error}") from error
    if device.provider not in session.get_providers():
        raise InvalidPackage(f"{path}: the device is {device}, but ONNX Runtime uses only {session.get_providers()}")
    return session


def check_tensors(path: Path, kind: str, specs: Sequence[TensorSpec], args: Sequence[ort.NodeArg]) -> None:
    """Check that the graph's inputs or outputs (``kind``) are those of the card, in the same order.

    Raises:
        InvalidPackage: they are not.
    """
    described = [(spec.name, spec.datatype, tuple(spec.shape)) for spec in specs]
    actual = [(arg.name, GRAPH_DATATYPES.get(arg.type, arg.type), graph_shape(arg)) for arg in args]
    if actual != described:
        raise InvalidPackage(f"{path}: the graph's {kind}s are {actual}; the card describes {described}")


def graph_shape(arg: ort.NodeArg) -> tuple[int, ...]:
    """The shape of an input or output of a graph; -1 for a dimension of any size."""
    return tuple(dim if isinstance(dim, int) else -1 for dim in arg.shape)


def used_providers(session: ort.InferenceSession) -> tuple[str, ...]:
    """The providers that run nodes, as the session ranks them; the first one if the graph has no nodes."""
    used = {subgraph.ep_name for subgraph in session.get_provider_graph_assignment_info()}
    ranked = session.get_providers()
    return tuple(name for name in ranked if name in used) or (ranked[0],)


def inputs_on_device(session: ort.InferenceSession, device: Device) -> frozenset[str]:
    """The inputs that the graph reads in the device's own memory; not those that nodes on the CPU read.

    An input of the latter kind would be copied to the host when it is bound, and never again.
    """
    if not device.own_memory:
        return frozenset()
    places = zip(session.get_inputs(), session.get_input_memory_infos(), strict=True)
    return frozenset(arg.name for arg, memory in places if device.kind == "cpu" or memory.name not in _HOST_MEMORY)
