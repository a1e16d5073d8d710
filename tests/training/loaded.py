"""What ONNX Runtime makes of a file."""

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime as ort


def loaded(path: Path) -> Counter[str]:
    """The operators that a session of the file runs."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".loaded"))
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
