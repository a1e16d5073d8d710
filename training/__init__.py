"""Data -> recipe -> weights -> package: the only code that uses both torch and packages."""

import os

# Must be in place before the first import of onnxruntime anywhere in the process.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
