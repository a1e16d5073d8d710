"""Serving: ONNX package in, answers out. Imports neither torch, models nor training."""

from importlib.metadata import version

__version__ = version("lectorium")
