"""Memory of a device's own, forced onto the CPU provider: the same code as on CUDA, whose memory is elsewhere too."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.binding import DeviceBuffer
from service.engine.device import CPU, Device
from service.engine.model import Model
from service.engine.sampling_parameters import SamplingParameters
from service.engine.session import WARM_RUNS, Session
from service.engine.slots import Slots
from service.engine.tensors import DTYPES, Tensors
from service.package import Datatype, Graph, Loop, TensorSpec, read_package
from tests.packages import MAX_BATCH, assert_close, example, expected, write_package
from tests.service.engine.asking import ask, check_answer, check_tokens, label, serving, stream, token
from tests.service.engine.captioning import check_row
from tests.service.engine.sums import sum_answer, sum_inputs, sum_model, write_sums
from tests.step_packages import POISON, SLOTS, chars, diffusion, write_chars, write_diffusion, write_words

OWN = Device("cpu", own_memory=True)
Array = NDArray[Any]


@dataclass(eq=False)
class StepRequest:
    """A request for steps."""

    rows: int
    seed: int
    steps: int
    inputs: Tensors = field(default_factory=dict)
    encoded: Tensors = field(default_factory=dict)
    gone: bool = False
    every: int = 1
    sampling: SamplingParameters | None = None


class Stage:
    """Slots of a model on a device, and what its requests were given, step by step."""

    def __init__(self, folder: Path, device: Device) -> None:
        self.model = loaded(folder, device)
        assert isinstance(self.model.program, Loop)
        self.slots = Slots(self.model.program, self.model.session)
        self.given: dict[StepRequest, list[dict[str, Array]]] = {}

    def step(self) -> None:
        for stepped in self.slots.step()[1]:
            self.given.setdefault(stepped.request, []).append(stepped.outputs)

    def run_out(self) -> None:
        while len(self.slots):
            self.step()


def loaded(folder: Path, device: Device) -> Model:
    return Model(read_package(folder), partial(Session, intra_op=1, device=device))


def letter(seed: int, steps: int, rows: int = 1, token: int = 1) -> StepRequest:
    return StepRequest(rows, seed, steps, {"token": np.full(rows, token), "temperature": np.ones(rows, "f4")})


def letters(stage: Stage, request: StepRequest, row: int = 0) -> list[int]:
    return [int(outputs["next_token"][row]) for outputs in stage.given[request]]


def buffer(stage: Stage, name: str) -> DeviceBuffer:
    found = stage.slots._inputs[name]
    assert isinstance(found, DeviceBuffer)
    return found


@pytest.fixture(params=[CPU, OWN], ids=["host", "device"])
def device(request: pytest.FixtureRequest) -> Device:
    found: Device = request.param
    return found


def test_the_hosts_copy_and_the_devices_are_two_and_rows_pass_only_when_told(tmp_path: Path) -> None:
    session = sum_model(tmp_path).session
    rows = DeviceBuffer(TensorSpec(name="any", datatype="FP32", shape=(-1, 3)), 4, OWN, session._session)
    rows.rows[...] = np.arange(12, dtype="f4").reshape(4, 3)
    assert not rows.get(0, 4).any()
    rows.send(1, 3)
    assert rows.get(0, 4).tolist() == [[0, 0, 0], [3, 4, 5], [6, 7, 8], [0, 0, 0]]
    rows.put(3, np.full((1, 3), 9, "f4"))
    assert rows.rows[3].tolist() == [9, 10, 11]
    rows.fetch(3, 4)
    assert rows.rows[3].tolist() == [9, 9, 9]
    answer = rows.get(3, 4)
    rows.put(3, np.zeros((1, 3), "f4"))
    assert answer.tolist() == [[9, 9, 9]]


@pytest.mark.parametrize("datatype", [datatype for datatype in DTYPES if datatype != "BYTES"])  # they are never bound
def test_a_buffer_of_every_datatype_gives_back_what_was_put(datatype: Datatype, tmp_path: Path) -> None:
    session = sum_model(tmp_path).session
    rows = DeviceBuffer(TensorSpec(name="any", datatype=datatype, shape=(-1, 2)), 3, OWN, session._session)
    wanted = np.array([[1, 0], [0, 1]]).astype(DTYPES[datatype])
    rows.put(1, wanted.T)
    assert rows.get(0, 3).tolist() == [[0, 0], *wanted.T.tolist()]
    assert rows.get(1, 3).dtype == DTYPES[datatype]


@pytest.mark.parametrize("rows", range(1, MAX_BATCH + 1))
def test_a_run_of_every_size_is_filled_up_to_a_bucket_and_answers_its_own_rows(rows: int, repository: Path) -> None:
    model = loaded(repository / "tiny" / "1", OWN)
    model.session.run(["mean"], {"image": example(MAX_BATCH, seed=7)})  # leaves its rows in the buffers
    mean, probabilities = model.session.run(["mean", "probabilities"], {"image": example(rows)})
    assert_close(probabilities, expected(example(rows)))
    assert_close(mean, example(rows).mean((1, 2), dtype="f4"))
    later = model.session.run(["probabilities"], {"image": example(rows, seed=3)})
    assert_close(probabilities, expected(example(rows)))  # not overwritten by the next run
    assert_close(later[0], expected(example(rows, seed=3)))


def test_a_graph_of_free_dimensions_runs_without_buffers(tmp_path: Path) -> None:
    session = loaded(write_sums(tmp_path), OWN).session
    for columns in (1, 5):
        inputs = sum_inputs(3, seed=columns, left=columns)
        difference, total = session.run(["difference", "total"], inputs)
        assert (difference.tolist(), total.tolist()) == tuple(v.tolist() for v in sum_answer(inputs).values())


def test_hypotheses_that_go_on_from_others_have_their_states_on_any_device(device: Device, tmp_path: Path) -> None:
    stage = Stage(write_words(tmp_path), device)
    widths, requests = (3, 1, 4), []
    for number, width in enumerate(widths):
        image = np.full((1, 2, 2), 13 * number, "u1")
        assert stage.model.encoder is not None
        [features] = stage.model.encoder.run(["features"], {"image": image})
        sampling = SamplingParameters("beam", width=width, n_best=width) if width > 1 else SamplingParameters("sample")
        encoded = {"features": np.repeat(features, width, axis=0)}
        request = StepRequest(width, number, 7, encoded=encoded, sampling=sampling)
        requests.append((request, image[0]))
        stage.slots.place(request)
        stage.step()
    stage.run_out()
    for request, image in requests:
        for row in range(request.rows):
            check_row(stage.given[request], row, image)


def test_rows_that_join_end_and_move_up_give_what_each_gives_alone(device: Device, tmp_path: Path) -> None:
    stage = Stage(write_chars(tmp_path), device)
    first, second, third = letter(1, 9), letter(2, 3, rows=3), letter(3, 14, rows=2, token=4)
    stage.slots.place(first)
    stage.step()
    stage.slots.place(second)
    stage.step()
    stage.slots.place(third)
    stage.slots.drop([first])
    late = letter(4, 20, rows=2)
    stage.step()
    stage.slots.place(late)
    stage.run_out()
    assert letters(stage, first) == chars(1, 9)[:2]
    for request in (second, third, late):
        for row in range(request.rows):
            alone = chars(request.seed, request.steps, row, token=int(request.inputs["token"][0]))
            assert letters(stage, request, row)[: len(alone)] == alone


def test_answers_made_on_the_device_come_back_when_their_rows_end(device: Device, tmp_path: Path) -> None:
    stage = Stage(write_diffusion(tmp_path), device)
    assert stage.model.encoder is not None
    requests = [StepRequest(2, seed, steps) for seed, steps in ((5, 3), (6, 9), (7, 1), (8, 4))]
    for index, request in enumerate(requests):
        labels = {"label": np.full(request.rows, index % 3)}
        request.encoded = {"pattern": stage.model.encoder.run(["pattern"], labels)[0]}
    for request in requests:
        stage.slots.place(request)
        stage.step()
    stage.run_out()
    for index, request in enumerate(requests):
        [answer] = stage.given[request]
        for row in range(request.rows):
            assert_close(answer["image"][row], diffusion(request.seed, index % 3, request.steps, row))


def act(stage: Stage, seed: int) -> None:
    """Requests of random sizes and lengths join and leave at random."""
    chance = Random(seed)
    inside: list[StepRequest] = []
    for number in range(40):
        request = letter(seed * 100 + number, chance.randint(1, 12), chance.randint(1, 3), chance.randint(1, 9))
        if len(stage.slots) + request.rows <= SLOTS and chance.random() < 0.6:
            stage.slots.place(request)
            inside.append(request)
        if inside and chance.random() < 0.2:
            stage.slots.drop([chance.choice(inside)])
        if len(stage.slots):
            stage.step()
    stage.run_out()


@pytest.mark.parametrize("seed", range(5))
def test_whoever_comes_and_goes_the_device_gives_what_the_host_gives(seed: int, tmp_path: Path) -> None:
    folder = write_chars(tmp_path)
    host, own = Stage(folder, CPU), Stage(folder, OWN)
    act(host, seed)
    act(own, seed)
    assert [request.seed for request in host.given] == [request.seed for request in own.given]
    for wanted, found in zip(host.given.values(), own.given.values(), strict=True):
        assert len(wanted) == len(found)
        for one, other in zip(wanted, found, strict=True):
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_step_that_failed_is_taken_again_without_the_rows_that_made_it_fail(device: Device, tmp_path: Path) -> None:
    stage = Stage(write_chars(tmp_path), device)
    poison, good = letter(1, 5, rows=2, token=POISON), letter(2, 5, rows=2)
    stage.slots.place(poison)
    stage.slots.place(good)
    with pytest.raises(Exception, match="indices element out of data bounds"):
        stage.slots.step()
    assert stage.slots.failing() == {poison: ""}
    stage.slots.drop([poison])
    for stepped in stage.slots.step(again=True)[1]:
        stage.given.setdefault(stepped.request, []).append(stepped.outputs)
    stage.run_out()
    for row in range(2):
        alone = chars(2, 5, row)
        assert letters(stage, good, row)[: len(alone)] == alone


def test_states_stay_on_the_device_between_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(write_chars(tmp_path, ends=False), OWN)
    stage.slots.place(letter(1, 50, rows=3))
    stage.step()
    names = {id(buffer(stage, name)): name for name in stage.slots._inputs}
    names |= {id(found): name for name, found in stage.slots._outputs.items() if isinstance(found, DeviceBuffer)}
    copied: list[tuple[str, str]] = []
    for way in ("send", "fetch"):
        real = getattr(DeviceBuffer, way)

        def noted(self: DeviceBuffer, first: int, end: int, way: str = way, real: Any = real) -> None:
            copied.append((way, names[id(self)]))
            real(self, first, end)

        monkeypatch.setattr(DeviceBuffer, way, noted)
    stage.step()
    stage.step()
    # The random numbers go there; what is emitted comes back. The token is a state, under the name of either half.
    assert {name for way, name in copied if way == "send"} == {"uniform"}
    assert {name for way, name in copied if way == "fetch"} <= {"next_token", "token", "logprob"}
    assert len(copied) == 6


def test_more_rows_than_the_buffers_hold_run_without_them(repository: Path) -> None:
    model = loaded(repository / "tiny" / "1", OWN)
    [probabilities] = model.session.run(["probabilities"], {"image": example(MAX_BATCH + 3)})
    assert_close(probabilities, expected(example(MAX_BATCH + 3)))


def test_what_is_warmed_is_every_size_that_will_be_run(device: Device, tmp_path: Path, repository: Path) -> None:
    ran: list[int] = []

    def noted(path: Path, graph: Graph, **options: Any) -> Session:
        session = Session(path, graph, 1, device, **options)
        real = session.run

        def run(outputs: Sequence[str], inputs: Tensors) -> list[Array]:
            ran.append(len(next(iter(inputs.values()))))
            return real(outputs, inputs)

        session.run = run  # type: ignore[method-assign]
        return session

    Model(read_package(write_chars(tmp_path)), noted)
    Model(read_package(repository / "tiny" / "1"), noted)
    golden = [2]
    if device.own_memory:
        slots, rows = range(1, SLOTS + 1), [1, 2, 4, 8]
        assert ran == [*golden, *np.repeat(slots, WARM_RUNS), *golden, *np.repeat(rows, WARM_RUNS)]
    else:  # the smallest and the largest
        assert ran == [*golden, 1, SLOTS, *golden, 1, MAX_BATCH]


async def test_an_engine_on_such_a_device_has_one_lane_and_answers_everyone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path)
    write_chars(tmp_path)
    write_diffusion(tmp_path)
    monkeypatch.setattr("service.engine.engine.choose", lambda config: OWN)
    sizes = [1, 3, 8, 20, 5]
    async with serving(tmp_path, lanes=4) as engine:
        assert len(engine._dispatcher._lanes) == 1
        images = [ask(engine, example(rows, seed)) for seed, rows in enumerate(sizes)]
        texts = [stream(engine, inputs=token(2), seed=seed, steps=seed) for seed in range(3, 9)]
        drawings = [stream(engine, "diffusion", label(seed % 3), seed=seed, steps=seed) for seed in range(3, 9)]
        for seed, rows in enumerate(sizes):
            check_answer(await images[seed], example(rows, seed))
        for seed, text in enumerate(texts, start=3):
            check_tokens(await text, seed, seed, rows=2)
        for seed, drawing in enumerate(drawings, start=3):
            assert_close((await drawing)[-1].outputs["image"][0], diffusion(seed, seed % 3, seed))
