import gc
import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pytest

from service.engine.request_queue import SWEEP_AT, RequestQueue
from service.errors import DeadlineExceeded, InvalidArgument, QueueFull
from service.package import Serving

LIMIT = 10


@dataclass(eq=False)
class Waiting:
    """A request that keeps its error."""

    rows: int = 1
    level: int = 1
    taken: int = 0
    left: bool = False
    error: Exception | None = None
    signature: Hashable = None
    looks: int = 0

    @property
    def gone(self) -> bool:
        self.looks += 1
        return self.left

    def fail(self, error: Exception) -> None:
        if not self.left:
            self.left, self.error = True, error


def make_queue(levels: int = 1, default: int = 1, **policy: Any) -> RequestQueue[Waiting]:
    """The queue of a card with these levels and this policy, on a server that lets `LIMIT` rows wait."""
    batching = {"priority_levels": levels, "default_priority_level": default, "default_queue_policy": policy}
    return RequestQueue("m", Serving.model_validate({"dynamic_batching": batching}), LIMIT)


def join(queue: RequestQueue[Waiting], *callers: Waiting) -> tuple[Waiting, ...]:
    for caller in callers:
        queue.join(caller)
    return callers


def take_all(queue: RequestQueue[Waiting]) -> list[Waiting]:
    """Take all requests, as a batch without a limit would."""
    taken = []
    while (caller := queue.first()) is not None:
        queue.take(caller, caller.rows - caller.taken)
        taken.append(caller)
    return taken


def leave(queue: RequestQueue[Waiting], caller: Waiting) -> None:
    """Leave as the request of a cancelled caller does."""
    caller.left = True
    queue.leave(caller)


def test_level_one_is_first_and_equals_are_in_order_of_arrival() -> None:
    queue = make_queue(levels=3)
    low, high, middle, high_too, low_too = join(queue, *(Waiting(level=level) for level in (3, 1, 2, 1, 3)))
    assert take_all(queue) == [high, high_too, middle, low, low_too]
    assert not queue


@pytest.mark.parametrize(("priority", "level"), [(0, 2), (1, 1), (2, 2), (3, 3)])
def test_a_request_has_the_level_it_names_or_the_cards_default(priority: int, level: int) -> None:
    assert make_queue(levels=3, default=2).level(priority) == level


@pytest.mark.parametrize("priority", [-1, 4, 2**63])
def test_a_level_the_card_does_not_have_is_refused(priority: int) -> None:
    with pytest.raises(InvalidArgument, match=rf"priority is {priority}; model 'm' allows 0 \(the default\) to 3"):
        make_queue(levels=3).level(priority)


def test_without_levels_only_the_default_and_the_first_may_be_named() -> None:
    assert [make_queue().level(priority) for priority in (0, 1)] == [1, 1]
    with pytest.raises(InvalidArgument):
        make_queue().level(2)


@pytest.mark.parametrize(("policy", "limit"), [({}, LIMIT), ({"max_queue_size": 4}, 4), ({"max_queue_size": 20}, 20)])
def test_the_cards_queue_size_replaces_the_servers(policy: dict[str, int], limit: int) -> None:
    queue = make_queue(**policy)
    join(queue, Waiting(rows=limit - 1))
    queue.admit(1)
    join(queue, Waiting())
    with pytest.raises(QueueFull, match=f"'m': the queue holds {limit} of at most {limit} rows"):
        queue.admit(1)


def test_all_levels_share_the_queue_size() -> None:
    queue = make_queue(levels=2)
    join(queue, Waiting(rows=LIMIT, level=2))
    with pytest.raises(QueueFull):
        queue.admit(1)


def test_more_rows_than_may_wait_are_admitted_if_nothing_waits() -> None:
    queue = make_queue()
    queue.admit(LIMIT + 1)
    join(queue, Waiting(rows=LIMIT + 1))
    with pytest.raises(QueueFull):
        queue.admit(1)


@pytest.mark.parametrize(
    ("policy", "requested_s", "queue_timeout_s"),
    [
        ({}, None, None),
        ({}, 0.0, None),
        ({}, 0.5, 0.5),
        ({"default_timeout_microseconds": 200_000}, None, 0.2),
        ({"default_timeout_microseconds": 200_000}, 0.1, 0.1),
        ({"default_timeout_microseconds": 200_000}, 0.5, 0.2),
        ({"default_timeout_microseconds": 200_000, "allow_timeout_override": False}, 0.1, 0.2),
        ({"allow_timeout_override": False}, 0.1, None),
    ],
)
def test_the_queue_timeout_is_the_cards_or_a_shorter_one_if_the_card_allows_it(
    policy: dict[str, Any], requested_s: float | None, queue_timeout_s: float | None
) -> None:
    assert make_queue(**policy).queue_timeout_s(requested_s) == queue_timeout_s


def test_a_request_that_waits_too_long_is_refused() -> None:
    queue = make_queue()
    late, patient = join(queue, Waiting(), Waiting())
    queue.time_out(late, 0.25)
    assert str(late.error) == "model 'm': not taken from the queue in 0.25 s"
    assert isinstance(late.error, DeadlineExceeded)
    assert take_all(queue) == [patient]


def test_where_the_card_says_continue_who_waits_too_long_goes_behind_all_others_and_is_served() -> None:
    queue = make_queue(levels=2, timeout_action="continue")
    overdue, low, overdue_too, high = join(queue, Waiting(), Waiting(level=2), Waiting(), Waiting())
    queue.time_out(overdue, 0.1)
    queue.time_out(overdue_too, 0.1)
    [later] = join(queue, Waiting(level=2))
    assert take_all(queue) == [high, low, later, overdue, overdue_too]
    assert queue.rows == 0


def test_who_has_left_when_its_patience_ends_is_not_moved() -> None:
    queue = make_queue(timeout_action="continue")
    leaves, stays = join(queue, Waiting(), Waiting())
    leaves.left = True
    queue.time_out(leaves, 0.1)
    queue.leave(leaves)
    assert take_all(queue) == [stays]


@pytest.mark.parametrize("action", ["reject", "continue"])
def test_whose_first_rows_are_taken_waits_no_longer_to_be_taken(action: str) -> None:
    queue = make_queue(timeout_action=action)
    begun, other = join(queue, Waiting(rows=5), Waiting())
    queue.take(begun, 2)
    queue.time_out(begun, 0.1)
    assert begun.error is None
    assert take_all(queue) == [begun, other]


def test_who_has_gone_is_skipped() -> None:
    queue = make_queue()
    stays, leaves, stays_too = join(queue, Waiting(), Waiting(), Waiting())
    leave(queue, leaves)
    assert take_all(queue) == [stays, stays_too]


def test_a_line_that_all_have_left_yields_nobody_and_is_empty() -> None:
    queue = make_queue(levels=2)
    for caller in join(queue, Waiting(), Waiting(level=2)):
        leave(queue, caller)
    assert take_all(queue) == []
    assert not queue


def test_whose_rows_are_taken_in_part_is_still_the_first() -> None:
    queue = make_queue(levels=2)
    begun, other = join(queue, Waiting(rows=3), Waiting())
    queue.take(begun, 2)
    [last] = join(queue, Waiting())
    assert take_all(queue) == [begun, other, last]


def test_those_of_one_signature_are_found_at_every_level_and_the_others_keep_their_places() -> None:
    queue = make_queue(levels=2)
    first, other, low, alike = join(
        queue, *(Waiting(signature=kind, level=level) for kind, level in (("a", 1), ("b", 1), ("a", 2), ("a", 1)))
    )
    found = []
    while (caller := queue.first_alike(first)) is not None:
        found.append(caller)
        queue.take(caller, 1)
    assert found == [first, alike, low]
    assert take_all(queue) == [other]


def test_who_goes_behind_all_others_is_found_there_by_its_signature() -> None:
    queue = make_queue(timeout_action="continue")
    overdue, alike, other = join(queue, *(Waiting(signature=kind) for kind in ("a", "a", "b")))
    queue.time_out(overdue, 0.1)
    assert queue.first_alike(overdue) is alike
    queue.take(alike, 1)
    assert queue.first_alike(alike) is overdue
    assert take_all(queue) == [other, overdue]


@pytest.mark.parametrize("kinds", [1, 2, 500])
def test_what_one_caller_costs_does_not_grow_with_the_line(kinds: int) -> None:
    queue = make_queue()
    callers = join(queue, Waiting(signature="odd"), *(Waiting(signature=number % kinds) for number in range(4000)))
    while (first := queue.first()) is not None:
        for _ in range(4):  # a batch of four
            if (caller := queue.first_alike(first)) is not None:
                queue.take(caller, 1)
    assert (queue.rows, queue.waiting) == (0, 0)
    assert sum(caller.looks for caller in callers) < 10 * len(callers)


def test_nothing_is_kept_of_signatures_that_no_request_has_any_more() -> None:
    queue = make_queue(levels=2)
    join(queue, Waiting(signature="waits"))
    for number in range(1000):
        [caller] = join(queue, Waiting(signature=number, level=2))
        if number % 2:
            queue.take(caller, 1)
        else:
            leave(queue, caller)
    assert sum(len(level._by_signature) for level in queue._levels) == 1
    assert sum(len(level.requests) for level in queue._levels) <= SWEEP_AT + 3


def test_reserved_places_count_for_admission_until_they_are_released() -> None:
    queue = make_queue()
    with queue.reserve(LIMIT):
        assert queue.rows == 0
        with pytest.raises(QueueFull, match=f"'m': the queue holds {LIMIT} of at most {LIMIT} rows"):
            queue.admit(1)
    queue.admit(LIMIT)


def test_rows_and_callers_are_those_that_wait_and_all_come_back() -> None:
    queue = make_queue()
    whole, begun, waits = join(queue, Waiting(rows=3), Waiting(rows=6), Waiting(rows=2))
    assert (queue.rows, queue.waiting) == (11, 3)
    queue.take(whole, 3)
    queue.take(begun, 2)
    assert (queue.rows, queue.waiting) == (6, 1)
    queue.take(begun, 1)
    assert (queue.rows, queue.waiting) == (5, 1)
    for caller in (whole, begun, waits):
        leave(queue, caller)
    assert (queue.rows, queue.waiting) == (0, 0)


def test_all_waiting_requests_can_be_failed_at_once() -> None:
    queue = make_queue(levels=2)
    error = ValueError("closed")
    callers = join(queue, Waiting(), Waiting(level=2))
    queue.fail(error)
    assert [caller.error for caller in callers] == [error, error]
    assert not queue


def test_a_level_that_is_never_reached_keeps_few_of_the_requests_that_left() -> None:
    queue = make_queue(levels=2)
    [waits] = join(queue, Waiting(level=2))
    left = []
    for _ in range(20 * SWEEP_AT):
        [caller] = join(queue, Waiting(level=2))
        left.append(weakref.ref(caller))
        leave(queue, caller)
        del caller
    gc.collect()
    assert sum(caller() is not None for caller in left) <= SWEEP_AT
    assert take_all(queue) == [waits]
