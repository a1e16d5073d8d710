"""The table of tasks, and the models that answer for requests that name none."""

from pathlib import Path
from typing import Any

import pytest

from service.config import Config
from service.engine import Engine
from service.errors import InvalidConfig
from service.tasks.registry import check_default_models, check_default_tasks


def test_a_default_model_for_a_task_that_there_is_not_is_refused_with_the_tasks_there_are() -> None:
    check_default_tasks(Config.model_validate({"default_models": {"classify": "tiny"}}))
    why = r"configuration: default_models: no task 'captions'; allowed are \['classify', .*\]; did you mean 'caption'\?"
    with pytest.raises(InvalidConfig, match=why):
        check_default_tasks(Config.model_validate({"default_models": {"captions": "tiny"}}))


async def checked(repository: Path, **settings: Any) -> None:
    config = Config.model_validate({"repository": repository, "lanes": 1, "intra_op": 1, **settings})
    async with Engine(config) as engine:
        check_default_models(engine, config)


async def test_a_default_model_that_is_not_served_is_refused_with_those_that_are(repository: Path) -> None:
    await checked(repository, default_models={"classify": "tiny"})
    why = (
        "configuration: default_models: classify is 'tinny'; models that classify and are served: "
        r"\['fragile', 'other', 'tiny'\]; did you mean 'tiny'\?"
    )
    with pytest.raises(InvalidConfig, match=why):
        await checked(repository, default_models={"classify": "tinny"})


@pytest.mark.parametrize(("task", "does"), [("caption", "caption"), ("embed", "embed images")])
async def test_a_default_model_that_cannot_do_the_task_is_refused(repository: Path, task: str, does: str) -> None:
    with pytest.raises(InvalidConfig, match=rf"{task} is 'tiny'; models that {does} and are served: \[\]"):
        await checked(repository, default_models={task: "tiny"})


@pytest.mark.parametrize("later", [{"model_control": "poll"}, {"model_control": "explicit"}])
async def test_a_default_model_that_may_be_loaded_later_is_only_told_of(
    later: dict[str, Any], repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await checked(repository, default_models={"classify": "later"}, **later)
    assert "default_models: classify is 'later'; models that classify and are served: " in caplog.text
