"""ONNX Runtime with nothing around it, on the device that is measured; and a graph in float16."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnxruntime.transformers.float16 import convert_float_to_float16

from service.engine.device import Device


def session(path: Path, device: Device) -> Any:
    """A session of the graph on the device.

    Raises:
        RuntimeError: the library took another provider.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    made = ort.InferenceSession(str(path), options, providers=device.providers, enable_fallback=0)
    if device.provider not in made.get_providers():
        raise RuntimeError(f"{path}: {device} is wanted, ONNX Runtime took {made.get_providers()}")
    return made


def write_float16(path: Path, to: Path) -> None:
    """The graph with weights and arithmetic in float16; what goes in and comes out is as it was."""
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), to)


def is_quantised(path: Path) -> bool:
    """Whether the graph computes in int8: then float16 says nothing of it but where its scales round."""
    return any(node.op_type == "DequantizeLinear" for node in onnx.load(path).graph.node)


def per_s(run: Callable[[], object], seconds: float) -> float:
    """How often a second it runs, after three times that do not count."""
    for _ in range(3):
        run()
    began, count = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds or not count:
        run()
        count += 1
    return count / took


def p50_ms(run: Callable[[], object], calls: int) -> float:
    """The median time of a run, after three that do not count."""
    for _ in range(3):
        run()
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3
