from threading import Event

import pytest

from deploy.bench import witness
from deploy.bench.callers import Refused
from deploy.bench.subject import WrongAnswer
from deploy.bench.witness import Witness, checked


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "PAUSE_S", 0.001)


class Answers:
    """Says in turn what it was given, then False for ever; an exception is raised. ``over`` is set by the last."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.left = list(answers)
        self.over = Event()

    def __call__(self) -> bool:
        answer = self.left.pop(0) if self.left else False
        if not self.left or isinstance(answer, Exception):
            self.over.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


def watch(*answers: bool | Exception) -> int:
    ask = Answers(*answers)
    with Witness(ask) as beside:
        assert ask.over.wait(10)
    return beside.answers


def test_it_counts_right_answers_and_not_refusals() -> None:
    assert watch(False, True, False, True) == 2


def test_a_wrong_answer_among_right_ones_is_told() -> None:
    with pytest.raises(WrongAnswer, match="differs"):
        watch(True, True, WrongAnswer("differs"), True)


def test_a_witness_who_was_never_answered_is_no_witness() -> None:
    with pytest.raises(WrongAnswer, match="got no answer"):
        watch(False)


def test_a_full_queue_is_no_answer_and_any_other_refusal_is_told() -> None:
    def refuse(status: int) -> None:
        raise Refused(status, b"")

    assert checked(lambda: None)
    assert not checked(lambda: refuse(429))
    with pytest.raises(Refused, match="500"):
        checked(lambda: refuse(500))
