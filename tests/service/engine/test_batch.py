import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.engine.batch import Batch, BatchQueue, Request
from service.engine.session import Session
from service.errors import DeadlineExceeded, InternalError
from tests.service.engine.sums import Inputs, sum_answer, sum_inputs, sum_session

MAX_BATCH = 8
BOTH = ("difference", "total")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return sum_session(tmp_path_factory.mktemp("sums"))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class Callers:
    """Joins requests to a queue and runs what it forms."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.queue = BatchQueue(MAX_BATCH)
        self.requests: list[Request] = []

    def ask(self, inputs: Inputs, outputs: tuple[str, ...] = BOTH) -> Request:
        request = Request(inputs, outputs, len(inputs["left"]), self._loop.create_future())
        self.requests.append(request)
        self.queue.join(request)
        return request

    def ask_rows(self, *rows: int) -> list[Request]:
        return [self.ask(sum_inputs(count, seed=len(self.requests))) for count in rows]

    def leave(self, request: Request) -> None:
        """As the engine has it when a caller is cancelled."""
        request.future.cancel()
        self.queue.leave(request)

    def batches(self) -> list[Batch]:
        """All that can be formed of what waits."""
        formed = []
        while batch := self.queue.form():
            formed.append(batch)
        return formed

    def sizes(self) -> list[list[int]]:
        """The rows of each part of each batch."""
        return [[part.rows for part in batch.parts] for batch in self.batches()]


@pytest.fixture
def callers(loop: asyncio.AbstractEventLoop) -> Callers:
    return Callers(loop)


def check_answer(request: Request, inputs: Inputs) -> None:
    """The caller has the answer to its own rows, in the outputs it asked for."""
    outputs = request.future.result().outputs
    assert tuple(outputs) == request.outputs
    for name, wanted in sum_answer(inputs).items():
        if name in outputs:
            np.testing.assert_array_equal(outputs[name], wanted)


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
    assert callers.queue.rows == sum(rows)
    assert callers.sizes() == batches
    assert callers.queue.rows == 0
    assert not callers.queue


@pytest.mark.parametrize("rows", [[1], [3, 3, 2], [1] * 10, [3, 20], [9, 9], [30, 1, 30]])
@pytest.mark.parametrize("backwards", [False, True])
def test_each_caller_gets_its_own_rows_whatever_order_the_batches_end_in(
    rows: list[int], backwards: bool, callers: Callers, session: Session
) -> None:
    questions = [sum_inputs(count, seed) for seed, count in enumerate(rows)]
    requests = [callers.ask(question) for question in questions]
    batches = callers.batches()
    for batch in reversed(batches) if backwards else batches:
        batch.run(session)
        batch.answer()
    for request, question in zip(requests, questions, strict=True):
        check_answer(request, question)


def test_callers_of_one_batch_get_the_outputs_they_asked_for_in_their_order(callers: Callers, session: Session) -> None:
    questions = [sum_inputs(2, seed) for seed in range(4)]
    wanted = [("total",), ("total", "difference"), ("difference",), ("difference", "total")]
    requests = [callers.ask(question, outputs) for question, outputs in zip(questions, wanted, strict=True)]
    [batch] = callers.batches()
    batch.run(session)
    batch.answer()
    for request, question in zip(requests, questions, strict=True):
        check_answer(request, question)


def test_only_rows_of_one_shape_share_a_batch_and_those_passed_over_keep_their_place(callers: Callers) -> None:
    narrow, wide = {"left": 1}, {"left": 5}
    for seed, columns in enumerate((narrow, wide, narrow, wide, narrow)):
        callers.ask(sum_inputs(2, seed, **columns))
    narrow_0, wide_1, narrow_2, wide_3, narrow_4 = callers.requests
    formed = [[part.request for part in batch.parts] for batch in callers.batches()]
    assert formed == [[narrow_0, narrow_2, narrow_4], [wide_1, wide_3]]


def test_the_order_a_caller_names_its_inputs_in_does_not_matter(callers: Callers, session: Session) -> None:
    question = sum_inputs(2, seed=1, left=3)
    first = callers.ask(sum_inputs(2, seed=0, left=3))
    second = callers.ask(dict(reversed(question.items())))
    [batch] = callers.batches()
    assert [part.request for part in batch.parts] == [first, second]
    batch.run(session)
    batch.answer()
    check_answer(second, question)


def test_shapes_are_compared_input_by_input(callers: Callers) -> None:
    callers.ask(sum_inputs(2, seed=0, left=3, right=1))
    callers.ask(dict(reversed(sum_inputs(2, seed=1, left=1, right=3).items())))
    assert callers.sizes() == [[2], [2]]


def test_a_caller_that_left_is_passed_over_and_its_rows_are_given_back(callers: Callers) -> None:
    stays, leaves, stays_too = callers.ask_rows(3, 4, 3)
    callers.leave(leaves)
    assert callers.queue.rows == 6
    [batch] = callers.batches()
    assert [part.request for part in batch.parts] == [stays, stays_too]
    assert callers.queue.rows == 0


def test_no_batch_is_formed_where_all_have_left(callers: Callers) -> None:
    for request in callers.ask_rows(3, 20):
        callers.leave(request)
    assert callers.queue.form() is None
    assert callers.queue.rows == 0
    assert not callers.queue


def test_a_caller_that_leaves_half_taken_gives_back_only_what_still_waited(callers: Callers, session: Session) -> None:
    question = sum_inputs(2, seed=7)
    large = callers.ask(sum_inputs(20, seed=0))
    small = callers.ask(question)
    first = callers.queue.form()
    assert first is not None
    callers.leave(large)
    assert callers.queue.rows == 2
    [second] = callers.batches()
    assert [part.request for part in second.parts] == [small]
    for batch in (first, second):
        batch.run(session)
        batch.answer()
    check_answer(small, question)
    assert large.future.cancelled()


def test_a_caller_whose_time_ran_out_is_passed_over_before_it_has_left(callers: Callers) -> None:
    late, in_time = callers.ask_rows(4, 4)
    late.fail(DeadlineExceeded("too late"))
    [batch] = callers.batches()
    assert [part.request for part in batch.parts] == [in_time]
    callers.queue.leave(late)
    assert callers.queue.rows == 0
    with pytest.raises(DeadlineExceeded):
        late.future.result()


def test_a_caller_that_leaves_a_running_batch_disturbs_nobody_in_it(callers: Callers, session: Session) -> None:
    question = sum_inputs(3, seed=0)
    stays, leaves = callers.ask(question), callers.ask(sum_inputs(3, seed=1))
    [batch] = callers.batches()
    callers.leave(leaves)
    batch.run(session)
    batch.answer()
    check_answer(stays, question)
    assert leaves.future.cancelled()


def test_a_failed_batch_fails_its_callers_and_no_others(callers: Callers) -> None:
    failed, left, waits = callers.ask_rows(5, 3, 5)
    batch = callers.queue.form()
    assert batch is not None
    callers.leave(left)
    batch.fail(InternalError("the graph failed"))
    with pytest.raises(InternalError, match="the graph failed"):
        failed.future.result()
    assert left.future.cancelled()
    assert not waits.future.done()


def test_one_failed_part_fails_the_whole_request_once(callers: Callers, session: Session) -> None:
    [request] = callers.ask_rows(20)
    first, second, third = callers.batches()
    first.run(session)
    first.answer()
    second.fail(InternalError("the second failed"))
    third.fail(InternalError("the third failed"))
    with pytest.raises(InternalError, match="the second failed"):
        request.future.result()


def test_the_answer_says_how_long_it_waited_and_how_long_it_ran(callers: Callers, session: Session) -> None:
    [request] = callers.ask_rows(9)
    time.sleep(0.01)
    spans = []
    for batch in callers.batches():
        begin = time.perf_counter()
        batch.run(session)
        spans.append((begin, time.perf_counter()))
        time.sleep(0.01)
        batch.answer()
    answer = request.future.result()
    # Queueing ends where the first part begins to run; the runs of both parts are counted, not what lay between.
    begin, end = spans[0]
    assert begin - request.entered <= answer.queue_s <= end - request.entered
    assert 0 < answer.compute_s <= sum(end - begin for begin, end in spans)


class AnyInterleaving(RuleBasedStateMachine):
    """Callers come, are answered, run out of time and leave in any order; nobody else may notice.

    Leaving comes some time after an answer, an error or a cancellation, as it does in the engine.
    """

    session: Session

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.callers = Callers(self.loop)
        self.questions: dict[Request, Inputs] = {}
        self.running: list[Batch] = []
        self.inside: list[Request] = []
        self.spoiled: set[Request] = set()
        self.begun: list[Request] = []

    @rule(rows=st.integers(1, 20), left=st.integers(1, 2), outputs=st.sampled_from([BOTH, BOTH[::-1], BOTH[:1]]))
    def ask(self, rows: int, left: int, outputs: tuple[str, ...]) -> None:
        question = sum_inputs(rows, seed=len(self.questions), left=left)
        request = self.callers.ask(question, outputs)
        self.questions[request] = question
        self.inside.append(request)

    @rule()
    def form(self) -> None:
        batch = self.callers.queue.form()
        if batch is None:
            assert not self.callers.queue
            return
        assert batch.rows == sum(part.rows for part in batch.parts) <= MAX_BATCH
        assert len({part.inputs["left"].shape[1] for part in batch.parts}) == 1
        assert not any(part.request.future.done() for part in batch.parts)
        self.running.append(batch)
        self.begun += [part.request for part in batch.parts if part.start == 0]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), fails=st.sampled_from([False, False, False, True]))
    def finish(self, data: st.DataObject, fails: bool) -> None:
        batch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if fails:
            self.spoiled |= {part.request for part in batch.parts if not part.request.future.done()}
            batch.fail(InternalError("failed"))
        else:
            batch.run(self.session)
            batch.answer()

    @precondition(lambda self: self.inside)
    @rule(data=st.data(), how=st.sampled_from(["cancelled", "late"]))
    def give_up(self, data: st.DataObject, how: str) -> None:
        request = data.draw(st.sampled_from(self.inside))
        if not request.future.done():
            self.spoiled.add(request)
        if how == "late":
            request.fail(DeadlineExceeded("late"))
        else:
            request.future.cancel()
            self.leave(request)

    @precondition(lambda self: any(request.future.done() for request in self.inside))
    @rule(data=st.data())
    def leave_answered(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from([request for request in self.inside if request.future.done()])))

    def leave(self, request: Request) -> None:
        self.callers.queue.leave(request)
        self.inside.remove(request)

    @invariant()
    def the_rows_counted_are_those_that_wait(self) -> None:
        if hasattr(self, "callers"):
            assert self.callers.queue.rows == sum(request.rows - request.taken for request in self.inside)

    @invariant()
    def callers_of_one_shape_begin_in_the_order_they_came(self) -> None:
        for columns in (1, 2):
            alike = [r for r in getattr(self, "begun", []) if self.questions[r]["left"].shape[1] == columns]
            assert alike == sorted(alike, key=self.callers.requests.index)

    def teardown(self) -> None:
        try:
            while self.running or self.callers.queue:
                self.form()
                for batch in self.running:
                    batch.run(self.session)
                    batch.answer()
                self.running.clear()
            for request, question in self.questions.items():
                if request not in self.spoiled:
                    check_answer(request, question)
                assert request.future.done()
                if not request.future.cancelled():
                    request.future.exception()  # or asyncio would log that nobody has looked
            for request in list(self.inside):
                self.leave(request)
            assert self.callers.queue.rows == 0
        finally:
            self.loop.close()


def test_in_any_interleaving_every_other_caller_is_answered_with_its_own_rows(session: Session) -> None:
    machine = type("AnyInterleavingOfSums", (AnyInterleaving,), {"session": session})
    run_state_machine_as_test(machine, settings=settings(deadline=None, max_examples=150, stateful_step_count=40))
