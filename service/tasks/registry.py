"""The table of all tasks; the surfaces get everything about tasks from it."""

import logging
from collections.abc import Sequence
from typing import Any

from service.config import Config
from service.engine import Engine
from service.errors import InvalidConfig
from service.nearest import did_you_mean, listed
from service.tasks.caption import Caption
from service.tasks.classify import Classify
from service.tasks.classify_text import ClassifyText
from service.tasks.embed import Embed
from service.tasks.generate import Generate
from service.tasks.image_decoding import ImageDecoder
from service.tasks.search import Search
from service.tasks.segment import Segment
from service.tasks.selection import Selection
from service.tasks.task import Endpoint, Task

log = logging.getLogger(__name__)

TASKS: Sequence[type[Task[Any]]] = (Classify, Caption, ClassifyText, Embed, Segment, Generate, Search)


def check_default_tasks(config: Config) -> None:
    """Check, before anything is loaded, that ``default_models`` only has tasks that exist.

    Raises:
        InvalidConfig: there is no such task.
    """
    names = [task.name for task in TASKS]
    for name in config.default_models:
        if name not in names:
            raise InvalidConfig(
                f"configuration: default_models: no task {name!r}; allowed are {names}{did_you_mean(name, names)}"
            )


def check_default_models(engine: Engine, config: Config) -> None:
    """Check, once the engine has loaded its models, that each model in ``default_models`` is there and can do its task.

    If models may still be loaded later, this only logs a warning.

    Raises:
        InvalidConfig: a model is not there, and models cannot be loaded later.
    """
    for task in TASKS:
        name = config.default_models.get(task.name)
        served = Selection(engine, task.serves, task.does, "").served
        if name is None or name in served:
            continue
        why = f"default_models: {task.name} is {name!r}; models that {task.does} and are served: {listed(served)}"
        if config.model_control == "none" and not config.serves_without_failed:
            raise InvalidConfig(f"configuration: {why}{did_you_mean(name, served)}")
        log.warning("%s", why)


def endpoints(engine: Engine, config: Config) -> list[Endpoint]:
    """The endpoints of all tasks, which share one image decoder."""
    decode = ImageDecoder(config)
    return [endpoint for task in TASKS for endpoint in task(engine, config, decode).endpoints]
