"""The gate: who is inside, what becomes of them, and how it closes."""

import asyncio
import gc
import logging
import weakref
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from service.engine import Engine, Model
from service.errors import CallerGone, Draining, Forbidden, InternalError, LectoriumError, QueueFull, UnknownModel
from service.surfaces.client import GrpcClient, HttpClient
from service.surfaces.gate import Call, Gate, Kind

SURFACE = "oip_grpc"
CLIENT = HttpClient({"client": None, "headers": [(b"traceparent", b" 00-ab-cd-01 "), (b"x", b"1"), (b"x", b"2")]})


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


def counted_all(name: str, **labels: str) -> float:
    """The value of one series of requests that have not said their model."""
    return (
        REGISTRY.get_sample_value(f"lectorium_{name}", {"surface": SURFACE, "model": "", "version": "", **labels})
        or 0.0
    )


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
    with gate.call(SURFACE, HttpClient({"client": ("10.0.0.1", 4242), "headers": []})) as call:
        caller = call.caller
    assert caller.connection == "10.0.0.1:4242"
    caller.still_runs(1)
    drained = asyncio.create_task(gate.drained(10))
    await asyncio.sleep(0)
    assert (inside(), drained.done()) == (1, False)
    caller.still_runs(-1)
    await drained
    assert inside() == 0


def test_a_call_is_in_flight_until_it_ends() -> None:
    gate = open_gate()
    with gate.call(SURFACE, CLIENT), gate.call(SURFACE, CLIENT):
        assert inside() == 2
    assert inside() == 0


def test_a_call_that_ends_well_is_timed_as_ok_and_rejects_nothing() -> None:
    with open_gate().call(SURFACE, CLIENT) as call:
        call.for_model(model("well"))
    assert counted("request_duration_seconds_count", "well", code="OK") == 1
    assert not [
        s for m in REGISTRY.collect() for s in m.samples if "rejections" in s.name and "well" in s.labels.values()
    ]


def test_the_stages_that_became_known_are_counted_and_no_others() -> None:
    with open_gate().call(SURFACE, CLIENT) as call:
        call.for_model(model("staged"))
        call.record_stages(queue_s=0.25, compute_s=0.5)
    assert counted("queue_duration_seconds_sum", "staged") == 0.25
    assert counted("compute_duration_seconds_sum", "staged") == 0.5
    assert counted("decode_duration_seconds_count", "staged") == 0


def call_that_ends_with(error: Exception, name: str) -> None:
    with open_gate().call(SURFACE, CLIENT) as call:
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
        with open_gate().call(SURFACE, CLIENT) as call:
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
    with pytest.raises(Draining, match="shutting down"), gate.call(SURFACE, CLIENT):
        raise AssertionError("nobody comes in")
    assert REGISTRY.get_sample_value("lectorium_rejections_total", nobody) == before + 1
    assert inside() == 0


async def test_it_is_emptied_at_once_where_nobody_is_inside() -> None:
    gate = open_gate()
    gate.close()
    await asyncio.wait_for(gate.drained(20), 5)


async def test_it_is_emptied_when_the_last_call_ends() -> None:
    gate = open_gate()
    with gate.call(SURFACE, CLIENT):
        with gate.call(SURFACE, CLIENT):
            gate.close()
            drained = asyncio.create_task(gate.drained(20))
        await asyncio.sleep(0.01)
        assert not drained.done()
    await asyncio.wait_for(drained, 5)


async def test_it_waits_no_longer_than_the_grace_time_and_says_who_was_left(caplog: pytest.LogCaptureFixture) -> None:
    gate = open_gate()
    with gate.call(SURFACE, CLIENT):
        gate.close()
        await asyncio.wait_for(gate.drained(0.01), 5)
    assert "1 request(s) still in flight after 0.01 s" in caplog.text


def reads(surface: str, code: str) -> float:
    return REGISTRY.get_sample_value("lectorium_reads_total", {"surface": surface, "code": code}) or 0.0


def test_a_read_is_in_no_figure_of_inference_but_in_a_counter_of_its_own() -> None:
    def figures() -> list[tuple[str, dict[str, str], float]]:
        of_requests = ("lectorium_request_duration_seconds_count", "lectorium_rejections_total")
        return [(s.name, s.labels, s.value) for m in REGISTRY.collect() for s in m.samples if s.name in of_requests]

    before = figures(), reads("metrics", "OK"), reads("metrics", "NOT_FOUND")
    gate = open_gate()
    with gate.call("metrics", CLIENT, Kind.READ):
        assert inside() == 0
    with pytest.raises(UnknownModel), gate.call("metrics", CLIENT, Kind.READ):
        raise UnknownModel("no such")
    assert (figures(), reads("metrics", "OK"), reads("metrics", "NOT_FOUND")) == (
        before[0],
        before[1] + 1,
        before[2] + 1,
    )


def test_a_read_that_an_app_answers_by_itself_is_counted_by_the_code_it_is_given() -> None:
    before = reads("http", "UNAVAILABLE")
    with open_gate().call("http", CLIENT, Kind.READ) as call:
        call.code = "UNAVAILABLE"
    assert reads("http", "UNAVAILABLE") == before + 1


async def test_a_closed_gate_still_answers_reads_and_does_not_wait_for_them() -> None:
    gate = open_gate()
    gate.close()
    with gate.call("oip_rest", CLIENT, Kind.READ):
        await asyncio.wait_for(gate.drained(20), 5)


def test_checks_see_every_call_in_their_order_and_one_that_raises_refuses_it() -> None:
    seen: list[tuple[str, Kind, list[str]]] = []

    def look(call: Call) -> None:
        seen.append((call.surface, call.kind, call.client.headers("traceparent")))

    def refuse(call: Call) -> None:
        if call.kind is Kind.CONTROL:
            raise Forbidden("not you")

    gate = Gate(cast(Engine, SimpleNamespace(alive=True, why_not_ready="")), [look, refuse])
    before = counted_all("rejections_total", reason="forbidden")
    with gate.call(SURFACE, CLIENT), gate.call("metrics", CLIENT, Kind.READ):
        pass
    with pytest.raises(Forbidden), gate.call(SURFACE, CLIENT, Kind.CONTROL):
        pytest.fail("it came in")
    trace = ["00-ab-cd-01"]
    assert seen == [(SURFACE, Kind.INFERENCE, trace), ("metrics", Kind.READ, trace), (SURFACE, Kind.CONTROL, trace)]
    assert counted_all("rejections_total", reason="forbidden") == before + 1
    assert inside() == 0


def test_a_check_that_fails_by_a_fault_of_ours_lets_nobody_in_and_says_nothing_of_it() -> None:
    def broken(_: Call) -> None:
        raise KeyError("a secret")

    gate = Gate(cast(Engine, SimpleNamespace(alive=True, why_not_ready="")), [broken])
    with pytest.raises(InternalError, match=r"^internal error; the server's log has it$"), gate.call(SURFACE, CLIENT):
        pytest.fail("it came in")
    assert inside() == 0


@pytest.mark.parametrize("fails", ["inside", "in a check", "while draining"])
def test_what_a_failed_request_holds_is_let_go_without_the_garbage_collector(
    fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest keeps what is logged, errors with their frames included.
    monkeypatch.setattr(logging.getLogger("service.surfaces.gate"), "disabled", True)

    class Body:
        """A request's memory."""

    def check(_: Call) -> None:
        if fails == "in a check":
            raise KeyError

    gate = Gate(cast(Engine, SimpleNamespace(alive=True, why_not_ready="")), [check])
    if fails == "while draining":
        gate.close()

    def request() -> weakref.ref[Body]:
        body = Body()
        found = weakref.ref(body)
        with suppress(LectoriumError), gate.call(SURFACE, CLIENT):
            raise ValueError(body)
        return found

    gc.disable()
    try:
        assert request()() is None
    finally:
        gc.enable()


def test_a_clients_headers_are_found_by_their_name_in_the_order_they_came() -> None:
    assert CLIENT.headers("x") == ["1", "2"]
    assert CLIENT.headers("authorization") == []
    assert CLIENT.peer == ""


def test_a_grpc_clients_metadata_are_its_headers_and_bytes_among_them_are_read() -> None:
    context: Any = SimpleNamespace(
        peer=lambda: "ipv4:10.0.0.1:4242", invocation_metadata=lambda: (("a", "1"), ("b-bin", b"\xff"), ("a", "2"))
    )
    client = GrpcClient(context)
    assert (client.peer, client.headers("a"), client.headers("b-bin")) == ("ipv4:10.0.0.1:4242", ["1", "2"], ["\xff"])
