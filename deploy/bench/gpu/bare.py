"""Bare ONNX Runtime on the measured device, and graphs in float16."""

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
        RuntimeError: ONNX Runtime chose other providers.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    made = ort.InferenceSession(str(path), options, providers=device.providers, enable_fallback=0)
    if device.provider not in made.get_providers():
        raise RuntimeError(f"{path}: ONNX Runtime chose {made.get_providers()}; expected {device}")
    return made


def write_float16(path: Path, to: Path) -> None:
    """Write the graph with weights and arithmetic in float16; inputs and outputs keep their types."""
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), to)


def is_quantised(path: Path) -> bool:
    """Whether the graph computes in int8, so that float16 would only round its scales."""
    return any(node.op_type == "DequantizeLinear" for node in onnx.load(path).graph.node)


def per_s(run: Callable[[], object], seconds: float) -> float:
    """The number of runs per second, after three uncounted ones."""
    for _ in range(3):
        run()
    began, count = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds or not count:
        run()
        count += 1
    return count / took


def p50_ms(run: Callable[[], object], calls: int) -> float:
    """The median time of a run in milliseconds, after three uncounted ones."""
    for _ in range(3):
        run()
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3
