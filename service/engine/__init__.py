"""The engine: lanes, sessions, batching and the repository. It speaks no protocol and knows no task."""

import os

# Read when ONNX Runtime is imported, so it must be set first: nothing here calls out.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from service.engine.engine import Engine
from service.engine.model import Model
from service.engine.options import Options
from service.engine.override import Override
from service.engine.repository import Row
from service.engine.request import Answer
from service.engine.sampling_parameters import DecodingOptions
from service.engine.step_request import Emission

__all__ = ["Answer", "DecodingOptions", "Emission", "Engine", "Model", "Options", "Override", "Row"]
