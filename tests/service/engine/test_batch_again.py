"""Batches formed ahead, run again, or still there when the queue closes."""

import numpy as np
import pytest

from service.engine.request import Request
from service.errors import InternalError
from tests.service.engine.queueing import Callers, check_answer
from tests.service.engine.sums import sum_inputs


def test_those_of_a_batch_that_failed_run_again_one_by_one_before_those_who_wait(callers: Callers) -> None:
    requests = callers.ask_rows(3, 2, 2, 5)
    first = callers.queue.form()
    assert first is not None
    callers.leave(requests[1])
    first.fail(ValueError("the graph failed"))
    assert not any(request.future.done() for request in (requests[0], *requests[2:]))
    formed = [[chunk.request for chunk in batch.chunks] for batch in callers.batches()]
    assert formed == [[requests[0]], [requests[2]], [requests[3]]]


def test_who_fails_alone_is_answered_so_and_the_others_with_their_own_rows(callers: Callers) -> None:
    questions = [sum_inputs(2, seed) for seed in range(3)]
    requests = [callers.ask(question) for question in questions]
    [together] = callers.batches()
    together.fail(ValueError("the graph failed"))
    for batch in callers.batches():
        if batch.chunks[0].request is requests[1]:
            batch.fail(ValueError("the graph failed"))
        else:
            batch.run()
            batch.answer()
    with pytest.raises(InternalError, match=r"^model 'sums' failed on this request$"):
        requests[1].future.result()
    for index in (0, 2):
        check_answer(requests[index], questions[index])


def test_a_request_one_of_whose_parts_fails_fails_once(callers: Callers) -> None:
    [request] = callers.ask_rows(20)
    first, second, third = callers.batches()
    first.run()
    first.answer()
    second.fail(ValueError("the second failed"))
    third.fail(ValueError("the third failed"))
    with pytest.raises(InternalError, match="'sums' failed on this request"):
        request.future.result()


def ahead_of(callers: Callers) -> list[Request]:
    """Whose rows are joined for the next batch already."""
    ahead = callers.queue._ahead
    return [] if ahead is None else [chunk.request for chunk in ahead.chunks]


def test_a_whole_next_batch_is_joined_ahead_and_is_the_next(callers: Callers) -> None:
    questions = [sum_inputs(4, seed) for seed in range(3)]
    requests = [callers.ask(question) for question in questions]
    callers.queue.form_ahead()
    assert ahead_of(callers) == requests[:2]
    assert callers.queue.requests.rows == 12  # they wait on
    batch, rest = callers.batches()
    assert [chunk.request for chunk in batch.chunks] == requests[:2]
    np.testing.assert_array_equal(batch._inputs["left"], np.concatenate([q["left"] for q in questions[:2]]))
    for one in (batch, rest):
        one.run()
        one.answer()
    for request, question in zip(requests, questions, strict=True):
        check_answer(request, question)


def test_less_than_a_whole_batch_is_not_formed_ahead_as_more_may_come(callers: Callers) -> None:
    callers.ask_rows(3, 4)
    callers.queue.form_ahead()
    assert ahead_of(callers) == []
    assert callers.queue.requests.rows == 7


def test_no_more_than_one_batch_is_formed_ahead(callers: Callers) -> None:
    requests = callers.ask_rows(8, 8)
    callers.queue.form_ahead()
    callers.queue.form_ahead()
    assert ahead_of(callers) == requests[:1]
    assert callers.queue.requests.rows == 16


def test_who_leaves_a_batch_formed_ahead_is_not_run_and_the_others_are_answered(callers: Callers) -> None:
    question = sum_inputs(3, seed=9)
    leaves, stays = callers.ask(sum_inputs(5, seed=8)), callers.ask(question)
    callers.queue.form_ahead()
    callers.leave(leaves)
    [batch] = callers.batches()
    assert batch.rows == 3
    batch.run()
    batch.answer()
    check_answer(stays, question)
    assert callers.queue.requests.rows == 0


def test_who_leaves_a_batch_formed_ahead_gives_its_rows_back_at_once(callers: Callers) -> None:
    leaves, stays, half = callers.ask_rows(5, 3, 20)
    callers.queue.form_ahead()
    assert ahead_of(callers) == [leaves, stays]
    assert callers.queue.requests.rows == 28
    callers.leave(leaves)
    assert callers.queue.requests.rows == 23
    callers.queue.form()  # the batch that was formed ahead
    assert callers.queue.requests.rows == 20
    callers.queue.form_ahead()
    assert ahead_of(callers) == [half]
    callers.leave(half)
    assert callers.queue.requests.rows == 0


def test_a_batch_formed_ahead_that_all_have_left_is_not_run(callers: Callers) -> None:
    requests = callers.ask_rows(4, 4, 2)
    callers.queue.form_ahead()
    for request in requests[:2]:
        callers.leave(request)
    assert callers.sizes() == [[2]]
    assert not callers.queue


def test_closing_tells_everyone_who_waits_in_the_line_ahead_or_to_run_again(callers: Callers) -> None:
    again = callers.ask_rows(2, 2)
    failed = callers.queue.form()
    assert failed is not None
    failed.fail(ValueError("the graph failed"))
    ahead, waits = callers.ask_rows(8, 1)
    callers.queue._ahead = callers.queue._gathered()
    closed = ValueError("closed")
    callers.queue.close(closed)
    for request in (*again, ahead, waits):
        assert request.future.exception() is closed
    assert callers.queue.form() is None


def test_a_batch_that_fails_after_closing_runs_no_more(callers: Callers) -> None:
    requests = callers.ask_rows(2, 2)
    [batch] = callers.batches()
    closed = ValueError("closed")
    callers.queue.close(closed)
    assert not any(request.future.done() for request in requests)
    batch.fail(ValueError("the graph failed"))
    assert [request.future.exception() for request in requests] == [closed, closed]
    assert not callers.queue


def test_a_large_request_whose_part_failed_beside_another_still_gets_all_its_rows(callers: Callers) -> None:
    question, other = sum_inputs(20, seed=1), sum_inputs(3, seed=2)
    small, large = callers.ask(other), callers.ask(question)
    shared, *rest = callers.batches()
    assert [chunk.rows for chunk in shared.chunks] == [3, 5]
    shared.fail(ValueError("the graph failed"))
    again = callers.batches()
    assert [[chunk.rows for chunk in batch.chunks] for batch in again] == [[3], [5]]
    for batch in (*rest, *again):
        batch.run()
        batch.answer()
    check_answer(small, other)
    check_answer(large, question)
