from collections import Counter

import pytest

from deploy.bench.subject import WrongAnswer
from deploy.bench.throughput import check


def test_the_server_may_count_more_and_what_was_cut_off() -> None:
    check(Counter(OK=1_000), 1_000)
    check(Counter(OK=1_070, CANCELLED=64, INTERNAL=0), 1_000)


@pytest.mark.parametrize(
    "outcomes",
    [Counter(OK=999), Counter(), Counter(OK=1_000, INVALID_ARGUMENT=1), Counter(CANCELLED=1_000)],
    ids=["too few", "none", "errors among them", "all cut off"],
)
def test_answers_the_server_does_not_count_as_right_are_no_throughput(outcomes: Counter[str]) -> None:
    with pytest.raises(WrongAnswer, match="there were 1000 answers"):
        check(outcomes, 1_000)
