"""Triton's metric names say what Triton's would, whatever happened to the requests."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from service.engine import Engine, Options
from service.errors import DeadlineExceeded, InternalError, QueueFull
from service.surfaces.metrics.triton import TritonMetrics
from tests.packages import example, write_package
from tests.service.engine.asking import WHITE, ask, run_on, serving
from tests.service.engine.gate import Gate
from tests.serving import Server
from tests.step_packages import write_chars

TINY = {"model": "tiny", "version": "1"}


def sample(engine: Engine, name: str, **labels: str) -> float:
    """The value of the one sample of that name and those labels."""
    families = TritonMetrics(engine.waiting).collect()
    found = [s.value for family in families for s in family.samples if s.name == name and s.labels == labels]
    assert len(found) == 1, f"{len(found)} samples {name}{labels}"
    return found[0]


def failures(engine: Engine, reason: str) -> float:
    return sample(engine, "nv_inference_request_failure", **TINY, reason=reason)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    write_package(tmp_path, fails_at=255)
    write_chars(tmp_path)
    return tmp_path


async def test_requests_rows_and_runs_are_counted_apart(packages: Path) -> None:
    async with serving(packages) as engine:
        run_on(engine, lanes=True)
        with Gate(engine).closed():
            callers = [ask(engine, example(2)) for _ in range(4)]
            await asyncio.sleep(0.02)
        await asyncio.gather(*callers)
        assert sample(engine, "nv_inference_request_success", **TINY) == 4
        assert sample(engine, "nv_inference_count", **TINY) == 8
        # They came together, to a lane that takes 8 rows at once.
        assert sample(engine, "nv_inference_exec_count", **TINY) == 1


async def test_the_times_of_the_stages_add_up_to_no_more_than_the_request(packages: Path) -> None:
    async with serving(packages) as engine:
        await ask(engine, example(8))
        stages = ("queue", "compute_input", "compute_infer", "compute_output")
        each = {name: sample(engine, f"nv_inference_{name}_duration_us", **TINY) for name in stages}
        assert each["compute_infer"] > 0
        assert sum(each.values()) <= sample(engine, "nv_inference_request_duration_us", **TINY)


async def test_requests_that_wait_are_pending_until_a_run_takes_them(packages: Path) -> None:
    async with serving(packages) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            waiting = [ask(engine, example(3)) for _ in range(2)]
            await asyncio.sleep(0)
            assert sample(engine, "nv_inference_pending_request_count", **TINY) == 2
        await asyncio.gather(running, *waiting)
        assert sample(engine, "nv_inference_pending_request_count", **TINY) == 0


async def test_every_failure_has_its_reason(packages: Path) -> None:
    async with serving(packages, max_queue_rows=2) as engine:
        gate = Gate(engine)
        with gate.closed():
            running = ask(engine, example(1))
            await gate.reached(1)
            leaving = ask(engine, example(1))
            late = ask(engine, example(1), timeout_s=0.01)
            await asyncio.sleep(0)
            with pytest.raises(QueueFull):
                await ask(engine, example(1))
            leaving.cancel()
            with pytest.raises(DeadlineExceeded):
                await late
        await running
        with pytest.raises(InternalError):
            await ask(engine, WHITE)
        assert [failures(engine, reason) for reason in ("REJECTED", "CANCELED", "OTHER", "BACKEND")] == [1, 1, 1, 1]
        assert sample(engine, "nv_inference_request_success", **TINY) == 1


async def test_the_first_response_of_a_loop_is_timed_once_a_request(packages: Path) -> None:
    name, labels = "nv_inference_first_response_histogram_ms", {"model": "chars", "version": "1"}
    async with serving(packages) as engine:
        async with aclosing(engine.steps("chars", None, {}, (), Options(steps=5, seed=1))) as emissions:
            assert len([emission async for emission in emissions]) > 1
        assert sample(engine, f"{name}_count", **labels) == 1
        assert sample(engine, f"{name}_bucket", **labels, le="+Inf") == 1
        assert sample(engine, f"{name}_sum", **labels) > 0


def test_a_scrape_has_the_names_as_triton_writes_them(server: Server) -> None:
    text = httpx.get(server.metrics).raise_for_status().text
    for name in ("nv_inference_request_success", "nv_inference_count", "nv_inference_pending_request_count"):
        assert f'\n{name}{{model="tiny",version="1"}} ' in text
    assert '\nnv_inference_request_failure{model="tiny",reason="CANCELED",version="1"} ' in text
