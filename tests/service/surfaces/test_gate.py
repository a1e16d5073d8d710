"""The gate: who is inside, what becomes of them, and how it closes."""

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import REGISTRY

from service.engine import Engine, Model
from service.errors import CallerGone, Draining, InternalError, LectoriumError, QueueFull, UnknownModel
from service.surfaces.gate import Gate

SURFACE = "oip_grpc"


def open_gate() -> Gate:
    gate = Gate(cast(Engine, SimpleNamespace(alive=True, why_not_ready="")))
    gate.open()
    return gate


def model(name: str) -> Model:
    """A model of that name, which no other test counts."""
    return cast(Model, SimpleNamespace(name=name, version="3"))


def counted(name: str, model: str, **labels: str) -> float:
    """The value of one series of that model, 0 where there is none."""
    labels = {"surface": SURFACE, "model": model, "version": "3", **labels}
    return REGISTRY.get_sample_value(f"lectorium_{name}", labels) or 0.0


def inside() -> float | None:
    return REGISTRY.get_sample_value("lectorium_in_flight_requests", {"surface": SURFACE})


def test_it_is_ready_once_opened_while_the_engine_is_and_until_it_closes() -> None:
    engine = SimpleNamespace(alive=True, why_not_ready="")
    gate = Gate(cast(Engine, engine))
    lost, found = (partial(setattr, engine, "why_not_ready", why) for why in ("a model is missing", ""))
    seen = [gate.why_not_ready]
    for change in (gate.open, lost, found, gate.close):
        change()
        seen.append(gate.why_not_ready)
    assert seen == ["the server is starting", "", "a model is missing", "", "the server is shutting down"]
    assert not gate.ready
    assert gate.closed


def test_while_a_model_is_missing_the_others_are_served() -> None:
    gate = Gate(cast(Engine, SimpleNamespace(alive=True, why_not_ready="a model is missing")))
    assert not gate.serving
    gate.open()
    assert (gate.serving, gate.ready) == (True, False)
    gate.close()
    assert not gate.serving


async def test_work_that_goes_on_without_its_request_is_in_flight_and_waited_for() -> None:
    gate = open_gate()
    with gate.call(SURFACE, connection="a caller's") as call:
        caller = call.caller
    assert caller.connection == "a caller's"
    caller.still_runs(1)
    drained = asyncio.create_task(gate.drained(10))
    await asyncio.sleep(0)
    assert (inside(), drained.done()) == (1, False)
    caller.still_runs(-1)
    await drained
    assert inside() == 0


def test_a_call_is_in_flight_until_it_ends() -> None:
    gate = open_gate()
    with gate.call(SURFACE), gate.call(SURFACE):
        assert inside() == 2
    assert inside() == 0


def test_a_call_that_ends_well_is_timed_as_ok_and_rejects_nothing() -> None:
    with open_gate().call(SURFACE) as call:
        call.for_model(model("well"))
    assert counted("request_duration_seconds_count", "well", code="OK") == 1
    assert not [
        s for m in REGISTRY.collect() for s in m.samples if "rejections" in s.name and "well" in s.labels.values()
    ]


def test_the_stages_that_became_known_are_counted_and_no_others() -> None:
    with open_gate().call(SURFACE) as call:
        call.for_model(model("staged"))
        call.record_stages(queue_s=0.25, compute_s=0.5)
    assert counted("queue_duration_seconds_sum", "staged") == 0.25
    assert counted("compute_duration_seconds_sum", "staged") == 0.5
    assert counted("decode_duration_seconds_count", "staged") == 0


def call_that_ends_with(error: Exception, name: str) -> None:
    with open_gate().call(SURFACE) as call:
        call.for_model(model(name))
        raise error


@pytest.mark.parametrize("error", [UnknownModel("no such"), QueueFull("full"), CallerGone("left")])
def test_an_error_meant_for_the_caller_passes_and_is_counted_by_code_and_reason(error: LectoriumError) -> None:
    name = f"refused-{error.reason}"
    with pytest.raises(type(error)) as caught:
        call_that_ends_with(error, name)
    assert caught.value is error
    assert counted("rejections_total", name, reason=error.reason) == 1
    assert counted("request_duration_seconds_count", name, code=error.grpc_code) == 1
    assert inside() == 0


def test_a_fault_of_ours_is_logged_and_tells_the_caller_no_internals(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InternalError) as caught:
        call_that_ends_with(KeyError("a secret"), "faulty")
    assert "secret" not in str(caught.value)
    assert "a secret" in caplog.text
    assert counted("request_duration_seconds_count", "faulty", code="INTERNAL") == 1
    assert inside() == 0


async def test_a_cancelled_call_is_counted_as_such_and_stays_cancelled() -> None:
    async def stay() -> None:
        with open_gate().call(SURFACE) as call:
            call.for_model(model("left"))
            await asyncio.sleep(20)

    task = asyncio.create_task(stay())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted("request_duration_seconds_count", "left", code="CANCELLED") == 1
    assert inside() == 0


def test_a_closed_gate_refuses_and_counts_the_refusal() -> None:
    gate = open_gate()
    gate.close()
    nobody = {"surface": SURFACE, "model": "", "version": "", "reason": "draining"}
    before = REGISTRY.get_sample_value("lectorium_rejections_total", nobody) or 0
    with pytest.raises(Draining, match="shutting down"), gate.call(SURFACE):
        raise AssertionError("nobody comes in")
    assert REGISTRY.get_sample_value("lectorium_rejections_total", nobody) == before + 1
    assert inside() == 0


async def test_it_is_emptied_at_once_where_nobody_is_inside() -> None:
    gate = open_gate()
    gate.close()
    await asyncio.wait_for(gate.drained(20), 5)


async def test_it_is_emptied_when_the_last_call_ends() -> None:
    gate = open_gate()
    with gate.call(SURFACE):
        with gate.call(SURFACE):
            gate.close()
            drained = asyncio.create_task(gate.drained(20))
        await asyncio.sleep(0.01)
        assert not drained.done()
    await asyncio.wait_for(drained, 5)


async def test_it_waits_no_longer_than_the_grace_time_and_says_who_was_left(caplog: pytest.LogCaptureFixture) -> None:
    gate = open_gate()
    with gate.call(SURFACE):
        gate.close()
        await asyncio.wait_for(gate.drained(0.01), 5)
    assert "1 request(s) still in flight after 0.01 s" in caplog.text
