from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.model import Model
from service.engine.sampling_parameters import SamplingParameters
from service.engine.sequence_group import StepResult
from service.engine.session import Session
from service.engine.slots import Slots
from service.engine.tensors import Tensors
from service.package import Loop, read_package
from tests.packages import assert_close, change_card
from tests.step_packages import END_TOKEN, POISON, SLOTS, chars, chars_row, diffusion, write_chars, write_diffusion
from tests.step_packages.diffusion import patterns


@dataclass(eq=False)
class SlotRequest:
    """Rows of the character model, and what they have given."""

    rows: int = 1
    steps: int = 20
    seed: int = 0
    token: int = 1
    gone: bool = False
    every: int = 1
    sampling: SamplingParameters | None = None
    inputs: Tensors = field(init=False)
    encoded: Tensors = field(default_factory=dict)
    given: list[StepResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inputs = {"token": np.full(self.rows, self.token), "temperature": np.ones(self.rows, "f4")}

    def check(self) -> None:
        """Every row has emitted its own tokens, and then its last one until all had ended."""
        expected = [chars(self.seed, self.steps, row, self.token) for row in range(self.rows)]
        longest = max(map(len, expected))
        assert [stepped.step for stepped in self.given] == list(range(1, longest + 1))
        assert [stepped.last for stepped in self.given] == [False] * (longest - 1) + [True]
        for row, tokens in enumerate(expected):
            emitted = [int(stepped.outputs["next_token"][row]) for stepped in self.given]
            assert emitted == tokens + tokens[-1:] * (longest - len(tokens))


Make = Callable[[], Slots]


def slots_of(folder: Path) -> Make:
    model = Model(read_package(folder), partial(Session, intra_op=1))
    assert isinstance(model.program, Loop)
    return partial(Slots, model.program, model.session)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes empty slots of the character model."""
    return slots_of(write_chars(tmp_path_factory.mktemp("slots")))


def step(slots: Slots, *, again: bool = False) -> int:
    """One step, handed to the requests; the rows it took."""
    run, given = slots.step(again=again)
    for stepped in given:
        stepped.request.given.append(stepped)
    return run.rows


def step_to_the_end(slots: Slots) -> list[int]:
    """The rows of each step."""
    rows = []
    while len(slots):
        rows.append(step(slots))
    return rows


def endless_seed(steps: int, row: int = 0) -> int:
    """The seed of a row that does not end before so many steps."""
    return next(seed for seed in range(1000) if END_TOKEN not in chars(seed, steps, row))


def test_a_row_steps_until_it_ends_or_its_steps_are_over(make: Make) -> None:
    for seed in range(20):
        slots, request = make(), SlotRequest(seed=seed)
        slots.place(request)
        step_to_the_end(slots)
        request.check()


def test_rows_of_different_step_counts_share_every_step(make: Make) -> None:
    slots, seed = make(), endless_seed(9)
    requests = [SlotRequest(steps=steps, seed=seed) for steps in (2, 9, 5)]
    for request in requests:
        slots.place(request)
    assert step_to_the_end(slots) == [3, 3, 2, 2, 2, 1, 1, 1, 1]
    for request in requests:
        request.check()


def test_each_row_of_a_request_draws_its_own_numbers(make: Make) -> None:
    slots, request = make(), SlotRequest(rows=SLOTS, seed=3)
    slots.place(request)
    step_to_the_end(slots)
    request.check()
    assert len({tuple(chars(3, row=row)) for row in range(SLOTS)}) == SLOTS


def test_a_row_that_ended_repeats_its_last_values_and_gives_its_answer_with_the_last_row(make: Make) -> None:
    lengths = {seed: [len(chars(seed, row=row)) for row in range(3)] for seed in range(100)}
    seed = next(seed for seed, (a, b, c) in lengths.items() if b + 2 < a < c)
    slots, request = make(), SlotRequest(rows=3, seed=seed)
    slots.place(request)
    rows = step_to_the_end(slots)
    assert [rows.count(count) for count in (3, 2, 1)] == list(np.diff(sorted([0, *lengths[seed]])))
    request.check()
    assert ["next_hidden" in stepped.outputs for stepped in request.given] == [False] * (len(rows) - 1) + [True]
    hidden = np.stack([chars_row(seed, row=row)[1] for row in range(3)])
    assert_close(request.given[-1].outputs["next_hidden"], hidden)


def test_what_was_emitted_is_not_touched_by_later_steps(make: Make) -> None:
    slots, request = make(), SlotRequest(rows=2, seed=endless_seed(6), steps=6)
    slots.place(request)
    copies = []
    while len(slots):
        step(slots)
        copies.append({name: values.copy() for name, values in request.given[-1].outputs.items()})
    for stepped, copied in zip(request.given, copies, strict=True):
        for name, values in stepped.outputs.items():
            np.testing.assert_array_equal(values, copied[name])


@pytest.mark.parametrize("leaving", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_slots_stay_dense_whoever_leaves(leaving: tuple[int, ...], make: Make) -> None:
    slots = make()
    requests = [SlotRequest(rows=rows, seed=seed) for seed, rows in enumerate((2, 3, 1))]
    for request in requests:
        slots.place(request)
    step(slots)
    slots.drop([requests[index] for index in leaving])
    remaining = [request for index, request in enumerate(requests) if index not in leaving]
    assert sorted(map(id, slots.requests)) == sorted(map(id, remaining))
    assert len(slots) <= sum(request.rows for request in remaining)
    newcomer = SlotRequest(rows=2, seed=7)
    slots.place(newcomer)
    step_to_the_end(slots)
    for request in (*remaining, newcomer):
        request.check()


def test_slots_count_the_rows_somebody_still_listens_to(make: Make) -> None:
    slots, gone = make(), SlotRequest(rows=3, steps=2)
    slots.place(gone)
    slots.place(SlotRequest(rows=2, steps=2))
    assert (len(slots), slots.waited_for) == (5, 5)
    gone.gone = True
    assert (len(slots), slots.waited_for) == (5, 2)


Moves = list[tuple[str, int, int]]


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["place", "step", "drop", "poison"]), st.integers(0, 99), st.integers(1, 4))
    )
)
def test_whatever_comes_leaves_and_fails_every_row_gives_what_it_gives_alone(make: Make, moves: Moves) -> None:
    slots, requests, dropped = make(), list[SlotRequest](), set[SlotRequest]()
    for move, number, rows in moves:
        fits = len(slots) + rows <= SLOTS
        if move == "drop" and slots.requests:
            leaver = slots.requests[number % len(slots.requests)]
            dropped.add(leaver)
            slots.drop([leaver])
        elif move in ("place", "poison") and fits:
            requests.append(
                SlotRequest(rows=rows, seed=number, steps=number % 13 + 1, token=POISON if move == "poison" else 1)
            )
            slots.place(requests[-1])
        elif len(slots):
            dropped |= step_over_poison(slots)
    while len(slots):
        dropped |= step_over_poison(slots)
    for request in set(requests) - dropped:
        request.check()


def step_over_poison(slots: Slots) -> set[Any]:
    """A step without those that make it fail, who are returned."""
    poisoned = {request for request in slots.requests if request.token == POISON}
    if not poisoned:
        step(slots)
        return set()
    with pytest.raises(Exception, match="out of data bounds"):
        step(slots)
    assert set(slots.failing()) == poisoned
    slots.drop(poisoned)
    if len(slots):
        step(slots, again=True)
    return poisoned


def test_a_row_that_fails_half_way_takes_nobody_along(tmp_path: Path) -> None:
    fatal = 5
    slots = slots_of(write_chars(tmp_path, fatal=fatal))()
    dies = next(seed for seed in range(1000) if fatal in chars(seed)[2:6])
    lives = [seed for seed in range(1000) if fatal not in chars(seed) and len(chars(seed)) > 8][:3]
    requests = {seed: SlotRequest(seed=seed) for seed in (lives[0], dies, *lives[1:])}
    for request in requests.values():
        slots.place(request)
    steps_before = chars(dies).index(fatal) + 1
    for _ in range(steps_before):
        step(slots)
    with pytest.raises(Exception, match="out of data bounds"):
        step(slots)
    assert slots.failing() == {requests[dies]: ""}
    slots.drop([requests[dies]])
    step(slots, again=True)
    step_to_the_end(slots)
    for seed in lives:
        requests[seed].check()


def test_an_answer_that_is_also_emitted_comes_with_every_step(tmp_path: Path) -> None:
    folder = write_chars(tmp_path)
    change_card(folder, "loop.answer", ["logprob"])
    change_card(folder, "loop.emit", ["next_token", "logprob"])
    slots, request = slots_of(folder)(), SlotRequest(seed=endless_seed(3), steps=3)
    slots.place(request)
    step_to_the_end(slots)
    assert [sorted(stepped.outputs) for stepped in request.given] == [["logprob", "next_token"]] * 3


def test_drawn_states_fresh_noise_and_schedules_are_each_requests_own(tmp_path: Path) -> None:
    slots = slots_of(write_diffusion(tmp_path))()
    requests = []
    for seed, (rows, steps) in enumerate([(2, 7), (1, 100), (3, 1), (2, 13)]):
        request = SlotRequest(rows=rows, steps=steps, seed=seed)
        request.inputs, request.encoded = {}, {"pattern": patterns()[np.arange(rows) % 3]}
        slots.place(request)
        requests.append(request)
        step(slots)
    step_to_the_end(slots)
    for request in requests:
        [answer] = request.given
        assert answer.last
        assert answer.step == request.steps
        expected = np.stack([diffusion(request.seed, row % 3, request.steps, row) for row in range(request.rows)])
        assert_close(answer.outputs["image"], expected)
