from types import SimpleNamespace
from typing import Any

import pytest

from service.engine.ready_queues import ReadyQueues


def queue(priority: int = 1) -> Any:
    """A queue with what `ReadyQueues` reads of it; equal only to itself."""
    serving = SimpleNamespace(priority=priority)
    queue = type("WorkQueue", (), {})()
    queue.model = SimpleNamespace(card=SimpleNamespace(serving=serving))
    return queue


def all_of(queues: ReadyQueues) -> list[Any]:
    taken = []
    while queues:
        taken.append(queues.next())
    return taken


def test_queues_of_equal_priority_are_taken_in_rotation() -> None:
    queues, first, second = ReadyQueues(), queue(), queue()
    queues.add(first)
    queues.add(second)
    order = []
    for _ in range(4):
        order.append(queues.next())
        queues.add(order[-1])
    assert order == [first, second, first, second]


def test_a_model_of_higher_priority_is_first_whenever_it_has_work() -> None:
    queues, low, high, middle = ReadyQueues(), queue(3), queue(1), queue(2)
    for one in (low, middle, high):
        queues.add(one)
    assert queues.next() is high
    assert queues.next() is middle
    queues.add(high)
    assert all_of(queues) == [high, low]


def test_a_queue_has_one_place_however_often_it_is_added() -> None:
    queues, first, second = ReadyQueues(), queue(), queue()
    for one in (first, second, first, first):
        queues.add(one)
    assert all_of(queues) == [first, second]


def test_the_first_queue_that_is_ready_is_taken_and_each_is_asked_once() -> None:
    queues, low, high, high_too = ReadyQueues(), queue(2), queue(1), queue(1)
    for one in (low, high, high_too):
        queues.add(one)
    asked: list[Any] = []

    def ready(one: Any) -> bool:
        asked.append(one)
        return one is not high

    assert queues.take(ready) is high_too
    assert asked == [high, high_too, low]
    assert queues.take(lambda _: False) is None
    assert all_of(queues) == [high, low]


def test_there_is_no_next_queue_if_none_has_work() -> None:
    queues = ReadyQueues()
    with pytest.raises(IndexError):
        queues.next()
    queues.add(queue())
    queues.next()
    assert not queues
    with pytest.raises(IndexError):
        queues.next()
