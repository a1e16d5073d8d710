from types import SimpleNamespace
from typing import Any

import pytest

from service.engine.ready_queues import ReadyQueues


def queue(priority: int = 1) -> Any:
    """What `ReadyQueues` looks at of a queue; equal to itself alone."""
    serving = SimpleNamespace(priority=priority)
    queue = type("WorkQueue", (), {})()
    queue.model = SimpleNamespace(card=SimpleNamespace(serving=serving))
    return queue


def all_of(turns: ReadyQueues) -> list[Any]:
    taken = []
    while turns:
        taken.append(turns.next())
    return taken


def test_equals_take_turns() -> None:
    turns, first, second = ReadyQueues(), queue(), queue()
    turns.add(first)
    turns.add(second)
    order = []
    for _ in range(4):
        order.append(turns.next())
        turns.add(order[-1])
    assert order == [first, second, first, second]


def test_a_model_of_a_higher_priority_goes_first_whenever_it_has_work() -> None:
    turns, low, high, middle = ReadyQueues(), queue(3), queue(1), queue(2)
    for one in (low, middle, high):
        turns.add(one)
    assert turns.next() is high
    assert turns.next() is middle
    turns.add(high)
    assert all_of(turns) == [high, low]


def test_a_queue_has_one_place_however_often_it_is_added() -> None:
    turns, first, second = ReadyQueues(), queue(), queue()
    for one in (first, second, first, first):
        turns.add(one)
    assert all_of(turns) == [first, second]


def test_of_those_that_are_ready_the_first_is_taken_and_all_are_asked_once() -> None:
    turns, low, high, high_too = ReadyQueues(), queue(2), queue(1), queue(1)
    for one in (low, high, high_too):
        turns.add(one)
    asked: list[Any] = []

    def ready(one: Any) -> bool:
        asked.append(one)
        return one is not high

    assert turns.take(ready) is high_too
    assert asked == [high, high_too, low]
    assert turns.take(lambda _: False) is None
    assert all_of(turns) == [high, low]


def test_nobody_is_next_where_nobody_has_work() -> None:
    turns = ReadyQueues()
    with pytest.raises(IndexError):
        turns.next()
    turns.add(queue())
    turns.next()
    assert not turns
    with pytest.raises(IndexError):
        turns.next()
