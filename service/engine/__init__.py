"""The engine: lanes, sessions, batching and the repository. It speaks no protocol and knows no task."""

from service.engine.batch import Answer
from service.engine.engine import Engine
from service.engine.repository import Model

__all__ = ["Answer", "Engine", "Model"]
