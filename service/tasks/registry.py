"""The tasks there are; whatever a surface has of tasks comes from this table."""

from collections.abc import Sequence
from typing import Any

from service.config import Config
from service.engine import Engine
from service.tasks.caption import Caption
from service.tasks.classify import Classify
from service.tasks.classify_text import ClassifyText
from service.tasks.image_decoding import ImageDecoder
from service.tasks.task import Endpoint, Task

TASKS: Sequence[type[Task[Any]]] = (Classify, Caption, ClassifyText)


def endpoints(engine: Engine, config: Config) -> list[Endpoint]:
    """All ways to ask all tasks; images are decoded for them in one place."""
    decode = ImageDecoder(config)
    return [endpoint for task in TASKS for endpoint in task(engine, config, decode).endpoints]
