import pytest

from service.deadline import NEVER, Deadline
from service.engine import Options
from service.errors import DeadlineExceeded


def test_the_error_says_how_long_the_request_was_allowed_to_take() -> None:
    deadline = Deadline.after(-1)
    assert deadline.passed
    assert deadline.remaining_s < 0
    with pytest.raises(DeadlineExceeded, match=r"^no answer in 0 s$"):
        deadline.check()
    assert str(Deadline.after(2.5).exceeded("model 'm'")) == "model 'm': no answer in 2.5 s"


def test_there_is_time_before_a_deadline_and_always_where_there_is_none() -> None:
    Deadline.after(60).check()
    NEVER.check()
    assert 59 < Deadline.after(60).remaining_s <= 60


@pytest.mark.parametrize(
    ("timeout_s", "deadline_s", "allowed_s"),
    [(None, None, 30), (5, None, 5), (50, None, 30), (None, 4, 4), (None, 40, 30), (5, 4, 4), (3, 4, 3)],
)
def test_of_several_limits_the_earliest_counts(
    timeout_s: float | None, deadline_s: float | None, allowed_s: float
) -> None:
    deadline = None if deadline_s is None else Deadline.after(deadline_s)
    assert Options(timeout_s=timeout_s, deadline=deadline).deadline_within(30).allowed_s == allowed_s
