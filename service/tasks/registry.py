"""The tasks there are; whatever a surface has of tasks comes from this table."""

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
from service.tasks.image_decoding import ImageDecoder
from service.tasks.selection import Selection
from service.tasks.task import Endpoint, Task

log = logging.getLogger(__name__)

TASKS: Sequence[type[Task[Any]]] = (Classify, Caption, ClassifyText, Embed)


def check_default_tasks(config: Config) -> None:
    """Before anything is loaded: whether the tasks are known for which the configuration names a model.

    Raises:
        InvalidConfig: one is not.
    """
    names = [task.name for task in TASKS]
    for name in config.default_models:
        if name not in names:
            raise InvalidConfig(
                f"configuration: default_models: no task {name!r}; allowed are {names}{did_you_mean(name, names)}"
            )


def check_default_models(engine: Engine, config: Config) -> None:
    """Look for each model that answers where none is named, once the engine has loaded what is to be served.

    Raises:
        InvalidConfig: it is not among the models of its task, and will not be, for nothing is loaded later.
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
    """All ways to ask all tasks; images are decoded for them in one place."""
    decode = ImageDecoder(config)
    return [endpoint for task in TASKS for endpoint in task(engine, config, decode).endpoints]
