"""Serving: ONNX package in, answers out. Imports neither torch, models nor training."""

# A Bento has the source alone, so no installed package can say it.
__version__ = "0.1.0"
