"""One batch queue, and callers that come, leave and fail in any order, decided by the test, not by a clock."""

import asyncio

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

from service.engine.batch import Batch
from service.engine.model import Model
from service.engine.request import Request
from service.errors import DeadlineExceeded
from tests.service.engine.queueing import BOTH, Callers, check_answer
from tests.service.engine.sums import MAX_BATCH, Inputs, sum_inputs


class AnyInterleaving(RuleBasedStateMachine):
    """Callers come, are answered, run out of time and leave in any order; nobody else may notice.

    Leaving comes some time after an answer, an error or a cancellation, as it does in the engine.
    """

    model: Model

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.callers = Callers(self.loop, self.model)
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
        assert batch.rows == sum(chunk.rows for chunk in batch.chunks) <= MAX_BATCH
        assert len({chunk.inputs["left"].shape[1] for chunk in batch.chunks}) == 1
        assert not any(chunk.request.future.done() for chunk in batch.chunks)
        self.running.append(batch)
        self.begun += [chunk.request for chunk in batch.chunks if not chunk.start and chunk.request not in self.begun]

    @rule()
    def form_ahead(self) -> None:
        self.callers.queue.form_ahead()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), fails=st.sampled_from([False, False, False, True]))
    def finish(self, data: st.DataObject, fails: bool) -> None:
        batch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.callers.queue.ended()
        if fails:
            if len(batch.chunks) == 1:
                self.spoiled |= {chunk.request for chunk in batch.chunks if not chunk.request.future.done()}
            batch.fail(ValueError("failed"))
        else:
            batch.run()
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
        self.callers.queue.requests.leave(request)
        request.release()
        self.inside.remove(request)

    @invariant()
    def the_rows_counted_are_those_that_wait(self) -> None:
        if hasattr(self, "callers"):
            ahead = self.callers.queue._ahead
            waiting = sum(request.rows - request.taken for request in self.inside)
            waiting += sum(chunk.rows for chunk in (ahead.chunks if ahead else ()) if chunk.request in self.inside)
            assert self.callers.queue.requests.rows == waiting

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
                    self.callers.queue.ended()
                    batch.run()
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
            assert self.callers.queue.requests.rows == 0
        finally:
            self.loop.close()


def test_in_any_interleaving_every_other_caller_is_answered_with_its_own_rows(sums: Model) -> None:
    machine = type("AnyInterleavingOfSums", (AnyInterleaving,), {"model": sums})
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=40))
