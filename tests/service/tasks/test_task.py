"""What follows from a task's declaration."""

from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from service.tasks.answer import Timing
from service.tasks.made_types import answer_of, batch_answer_of, batch_ask_of
from service.tasks.registry import TASKS
from service.tasks.task import Ask, BatchTask


class Question(Ask):
    """Of a sound."""

    sound: str = Field(description="A sound.", min_length=2)
    loud: int | None = Field(None, ge=1)


class Heard(BaseModel):
    """What was heard."""

    words: list[str]


def test_the_batch_is_asked_for_a_list_of_what_one_is_asked_for_with_the_same_bounds() -> None:
    several: Any = batch_ask_of(Question, "sound")
    assert several.__name__ == "QuestionBatchAsk"
    assert set(several.model_fields) == {"model", "version", "sounds", "loud"}
    asked = several(sounds=["aa", "bb"], loud=3)
    assert (asked.sounds, asked.loud, asked.model) == (["aa", "bb"], 3, "")
    for wrong in ({"sounds": ["a"]}, {"sounds": ["aa"], "loud": 0}, {"sound": "aa"}, {"sounds": "aa"}):
        with pytest.raises(ValidationError):
            several(**wrong)


def test_an_answer_is_a_result_with_the_model_that_gave_it_and_the_time() -> None:
    one: Any = answer_of("Hearing", Heard)
    timing = Timing(queue_ms=1, decode_ms=2, compute_ms=3)
    answer = one(model="m", version="1", words=["a"], timing=timing)
    assert list(answer.model_dump()) == ["model", "version", "words", "timing"]
    several: Any = batch_answer_of("HearingBatch", Heard)
    answer = several(model="m", version="1", results=[Heard(words=["a"]), Heard(words=[])], timing=timing)
    assert [result["words"] for result in answer.model_dump()["results"]] == [["a"], []]


@pytest.mark.parametrize("task", TASKS)
def test_every_field_of_a_task_says_what_it_is(task: Any) -> None:
    asks = [task.ask, task.batch_ask] if issubclass(task, BatchTask) else [task.ask]
    for field in (field for ask in asks for field in ask.model_fields.values()):
        assert field.description
