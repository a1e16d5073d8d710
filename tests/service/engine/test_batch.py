"""Who is joined, with whom, in which order, and what each gets."""

import time

import pytest

from service.errors import DeadlineExceeded
from tests.service.engine.queueing import Callers, check_answer
from tests.service.engine.sums import sum_inputs


@pytest.mark.parametrize(
    ("rows", "batches"),
    [
        ([1], [[1]]),
        ([3, 3, 2], [[3, 3, 2]]),
        ([8, 1], [[8], [1]]),
        ([1] * 10, [[1] * 8, [1, 1]]),
        # What does not fit whole waits, and nobody overtakes it.
        ([5, 6, 1], [[5], [6, 1]]),
        ([7, 2, 2, 2, 2], [[7], [2, 2, 2, 2]]),
        # Only what no batch could hold is split, and then fills up what is free.
        ([20], [[8], [8], [4]]),
        ([3, 20], [[3, 5], [8], [7]]),
        ([20, 3, 2], [[8], [8], [4, 3], [2]]),
        ([9, 9], [[8], [1, 7], [2]]),
        ([16, 1], [[8], [8], [1]]),
    ],
)
def test_what_waits_is_joined_first_come_first_served(
    rows: list[int], batches: list[list[int]], callers: Callers
) -> None:
    callers.ask_rows(*rows)
    assert callers.queue.requests.rows == sum(rows)
    assert callers.sizes() == batches
    assert callers.queue.requests.rows == 0
    assert not callers.queue


@pytest.mark.parametrize("rows", [[1], [3, 3, 2], [1] * 10, [3, 20], [9, 9], [30, 1, 30]])
@pytest.mark.parametrize("backwards", [False, True])
def test_each_caller_gets_its_own_rows_whatever_order_the_batches_end_in(
    rows: list[int], backwards: bool, callers: Callers
) -> None:
    questions = [sum_inputs(count, seed) for seed, count in enumerate(rows)]
    requests = [callers.ask(question) for question in questions]
    batches = callers.batches()
    for batch in reversed(batches) if backwards else batches:
        batch.run()
        batch.answer()
    for request, question in zip(requests, questions, strict=True):
        check_answer(request, question)


def test_callers_of_one_batch_get_the_outputs_they_asked_for_in_their_order(callers: Callers) -> None:
    questions = [sum_inputs(2, seed) for seed in range(4)]
    wanted = [("total",), ("total", "difference"), ("difference",), ("difference", "total")]
    requests = [callers.ask(question, outputs) for question, outputs in zip(questions, wanted, strict=True)]
    [batch] = callers.batches()
    batch.run()
    batch.answer()
    for request, question in zip(requests, questions, strict=True):
        check_answer(request, question)


def test_only_rows_of_one_shape_share_a_batch_and_those_passed_over_keep_their_place(callers: Callers) -> None:
    narrow, wide = {"left": 1}, {"left": 5}
    for seed, columns in enumerate((narrow, wide, narrow, wide, narrow)):
        callers.ask(sum_inputs(2, seed, **columns))
    narrow_0, wide_1, narrow_2, wide_3, narrow_4 = callers.requests
    formed = [[chunk.request for chunk in batch.chunks] for batch in callers.batches()]
    assert formed == [[narrow_0, narrow_2, narrow_4], [wide_1, wide_3]]


def test_the_order_a_caller_names_its_inputs_in_does_not_matter(callers: Callers) -> None:
    question = sum_inputs(2, seed=1, left=3)
    first = callers.ask(sum_inputs(2, seed=0, left=3))
    second = callers.ask(dict(reversed(question.items())))
    [batch] = callers.batches()
    assert [chunk.request for chunk in batch.chunks] == [first, second]
    batch.run()
    batch.answer()
    check_answer(second, question)


def test_shapes_are_compared_input_by_input(callers: Callers) -> None:
    callers.ask(sum_inputs(2, seed=0, left=3, right=1))
    callers.ask(dict(reversed(sum_inputs(2, seed=1, left=1, right=3).items())))
    assert callers.sizes() == [[2], [2]]


def test_a_caller_that_left_is_passed_over_and_its_rows_are_given_back(callers: Callers) -> None:
    stays, leaves, stays_too = callers.ask_rows(3, 4, 3)
    callers.leave(leaves)
    assert callers.queue.requests.rows == 6
    [batch] = callers.batches()
    assert [chunk.request for chunk in batch.chunks] == [stays, stays_too]
    assert callers.queue.requests.rows == 0


def test_no_batch_is_formed_where_all_have_left(callers: Callers) -> None:
    for request in callers.ask_rows(3, 20):
        callers.leave(request)
    assert callers.queue.form() is None
    assert callers.queue.requests.rows == 0
    assert not callers.queue


def test_a_caller_that_leaves_half_taken_gives_back_only_what_still_waited(callers: Callers) -> None:
    question = sum_inputs(2, seed=7)
    large = callers.ask(sum_inputs(20, seed=0))
    small = callers.ask(question)
    first = callers.queue.form()
    assert first is not None
    callers.leave(large)
    assert callers.queue.requests.rows == 2
    [second] = callers.batches()
    assert [chunk.request for chunk in second.chunks] == [small]
    for batch in (first, second):
        batch.run()
        batch.answer()
    check_answer(small, question)
    assert large.future.cancelled()


def test_a_caller_whose_time_ran_out_is_passed_over_before_it_has_left(callers: Callers) -> None:
    late, in_time = callers.ask_rows(4, 4)
    late.fail(DeadlineExceeded("too late"))
    [batch] = callers.batches()
    assert [chunk.request for chunk in batch.chunks] == [in_time]
    callers.queue.requests.leave(late)
    assert callers.queue.requests.rows == 0
    with pytest.raises(DeadlineExceeded):
        late.future.result()


def test_a_caller_that_leaves_a_running_batch_disturbs_nobody_in_it(callers: Callers) -> None:
    question = sum_inputs(3, seed=0)
    stays, leaves = callers.ask(question), callers.ask(sum_inputs(3, seed=1))
    [batch] = callers.batches()
    callers.leave(leaves)
    batch.run()
    batch.answer()
    check_answer(stays, question)
    assert leaves.future.cancelled()


def test_the_answer_says_how_long_it_waited_and_how_long_it_ran(callers: Callers) -> None:
    [request] = callers.ask_rows(9)
    time.sleep(0.01)
    spans = []
    for batch in callers.batches():
        begin = time.perf_counter()
        batch.run()
        spans.append((begin, time.perf_counter()))
        time.sleep(0.01)
        batch.answer()
    answer = request.future.result()
    # Queueing ends where the first chunk begins to run; the runs of both chunks are counted, not what lay between.
    begin, end = spans[0]
    assert begin - request.entered <= answer.queue_s <= end - request.entered
    assert 0 < answer.compute_s <= sum(end - begin for begin, end in spans)
