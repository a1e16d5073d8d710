"""tritonclient's streams, in its callback form and its asyncio form, and its parameters."""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.needs import needs
from tests.packages import example, expected, write_package
from tests.serving import Server, eventually
from tests.step_packages import chars, diffusion, write_chars, write_diffusion

TIMEOUT_S = 30
Heard = tuple[Any, InferenceServerException | None]


@pytest.fixture(scope="module")
@needs("server")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("loops")
    zoo = folder / "zoo"
    write_package(zoo, "tiny", 1)
    write_chars(zoo)
    write_chars(zoo, "endless", ends=False)
    write_diffusion(zoo)
    with Server(zoo, folder / "home") as server:
        yield server


@pytest.fixture
def client(loops: Server) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(loops.grpc) as client:
        yield client


def tensor(name: str, values: Any, datatype: str) -> Any:
    return tritonclient.grpc.InferInput(name, list(values.shape), datatype).set_data_from_numpy(values)


class Listener:
    """Keeps what the callback is called with."""

    def __init__(self) -> None:
        self._heard: queue.Queue[Heard] = queue.Queue()

    def __call__(self, result: Any, error: InferenceServerException | None) -> None:
        self._heard.put((result, error))

    def hear(self) -> Heard:
        return self._heard.get(timeout=TIMEOUT_S)

    def hear_all(self, count: int) -> list[Heard]:
        return [self.hear() for _ in range(count)]

    @property
    def silent(self) -> bool:
        return self._heard.empty()


def parameter(result: Any, name: str) -> Any:
    value = result.get_response().parameters[name]
    return getattr(value, value.WhichOneof("parameter_choice"))


def token(result: Any) -> int:
    return int(result.as_numpy("next_token")[0])


def answers_until_all_are_final(listener: Listener, ids: set[str]) -> dict[str, list[Any]]:
    """The results by id, read as Triton's own examples do: a request has ended with its final response."""
    found: dict[str, list[Any]] = {id: [] for id in ids}
    waiting = set(ids)
    while waiting:
        result, error = listener.hear()
        assert error is None, error
        found[result.get_response().id].append(result)
        if parameter(result, "triton_final_response"):
            waiting.remove(result.get_response().id)
    return found


@pytest.mark.parametrize("empty_final", [False, True])
def test_a_loop_calls_back_at_every_step_and_no_response_is_empty(client: Any, empty_final: bool) -> None:
    listener = Listener()
    client.start_stream(listener)
    for seed in (4, 5):
        client.async_stream_infer(
            "chars", [], request_id=str(seed), parameters={"seed": seed}, enable_empty_final_response=empty_final
        )
    found = answers_until_all_are_final(listener, {"4", "5"})
    client.stop_stream()
    assert listener.silent
    for seed in (4, 5):
        results = found[str(seed)]
        assert [token(result) for result in results] == chars(seed)
        assert [parameter(result, "step") for result in results] == list(range(1, len(results) + 1))
        assert {parameter(result, "seed") for result in results} == {seed}


def test_a_model_that_runs_once_calls_back_once(client: Any) -> None:
    listener = Listener()
    client.start_stream(listener)
    images = example(2)
    client.async_stream_infer("tiny", [tensor("image", images, "UINT8")], request_id="a", priority=1, timeout=5_000_000)
    result, error = listener.hear()
    client.stop_stream()
    assert (error, listener.silent) == (None, True)
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected(images), atol=1e-6)
    assert parameter(result, "triton_final_response") is True


def test_stopping_the_stream_waits_for_what_runs(client: Any) -> None:
    listener = Listener()
    client.start_stream(listener)
    client.async_stream_infer("endless", [], parameters={"seed": 1, "steps": 1000})
    client.stop_stream()
    assert [token(result) for result, _ in listener.hear_all(1000)] == chars(1, 1000, ends=False)


def test_errors_come_in_band_and_the_stream_goes_on(client: Any) -> None:
    listener = Listener()
    client.start_stream(listener)
    client.async_stream_infer("nope", [], request_id="wrong")
    result, error = listener.hear()
    assert result is None
    assert error is not None
    assert "no model 'nope'" in error.message()
    client.async_stream_infer("chars", [], parameters={"seed": 3})
    assert [token(result) for result, _ in listener.hear_all(len(chars(3)))] == chars(3)
    client.stop_stream()


def test_errors_come_as_the_status_where_the_header_asks_for_it(client: Any) -> None:
    listener = Listener()
    client.start_stream(listener, headers={"triton_grpc_error": "true"})
    client.async_stream_infer("nope", [])
    _, error = listener.hear()
    client.stop_stream()
    assert error is not None
    assert (error.status(), "no model 'nope'" in error.message()) == ("StatusCode.NOT_FOUND", True)


def test_cancelling_the_stream_ends_its_requests(client: Any, loops: Server) -> None:
    listener = Listener()
    client.start_stream(listener)
    for _ in range(50):  # more than fit in the slots
        client.async_stream_infer("endless", [], parameters={"steps": 1000})
    listener.hear()
    client.stop_stream(cancel_requests=True)
    assert eventually(lambda: loops.metric("lectorium_in_flight_requests", surface="oip_grpc") == 0)
    assert loops.metric("lectorium_rejections_total", model="endless", reason="cancelled") > 0


def test_sequences_are_refused_by_name(client: Any) -> None:
    listener = Listener()
    client.start_stream(listener)
    client.async_stream_infer("chars", [], sequence_id=7, sequence_start=True)
    _, error = listener.hear()
    client.stop_stream()
    assert error is not None
    assert "no model here keeps sequences" in error.message()


def test_the_asyncio_client_streams(loops: Server) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for seed in (4, 5):
            yield {"model_name": "chars", "inputs": [], "request_id": str(seed), "parameters": {"seed": seed}}
        yield {"model_name": "nope", "inputs": []}

    async def ask() -> list[Heard]:
        async with tritonclient.grpc.aio.InferenceServerClient(loops.grpc) as client:
            return [heard async for heard in client.stream_infer(requests())]

    heard = asyncio.run(asyncio.wait_for(ask(), TIMEOUT_S))
    for seed in (4, 5):
        assert [token(r) for r, _ in heard if r is not None and r.get_response().id == str(seed)] == chars(seed)
    assert ["no model 'nope'" in str(error) for _, error in heard if error is not None] == [True]


def test_infer_of_a_loop_that_emits_is_unimplemented_and_names_the_stream(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="ModelStreamInfer") as refused:
        client.infer("chars", [])
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_infer_takes_the_parameters_of_the_schedule_policy_and_of_loops(loops: Server, kind: str) -> None:
    module: Any = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]
    address = loops.grpc if kind == "grpc" else loops.rest.removeprefix("http://")
    with module.InferenceServerClient(address) as client:
        label = module.InferInput("label", [1], "INT64").set_data_from_numpy(np.array([2]))
        own = {"seed": 9, "steps": 4}
        answer = client.infer("diffusion", [label], priority=1, timeout=5_000_000, parameters=own)
        np.testing.assert_allclose(answer.as_numpy("image")[0], diffusion(9, 2, 4), rtol=1e-4, atol=1e-5)
        with pytest.raises(InferenceServerException, match="priority is 3"):
            client.infer("diffusion", [label], priority=3)
        client.infer("diffusion", [label], parameters={"colour": "red"})  # unknown: ignored


def test_metadata_and_configuration_tell_what_streams(client: Any) -> None:
    assert {"generate", "schedule_policy"} <= set(client.get_server_metadata().extensions)
    for model, decoupled in (("chars", True), ("diffusion", False), ("tiny", False)):
        assert client.get_model_config(model).config.model_transaction_policy.decoupled is decoupled


UNIMPLEMENTED: dict[str, Callable[[Any], Any]] = {
    "system_shared_memory_status": lambda c: c.get_system_shared_memory_status(),
    "system_shared_memory_register": lambda c: c.register_system_shared_memory("a", "/a", 8),
    "system_shared_memory_unregister": lambda c: c.unregister_system_shared_memory(),
    "cuda_shared_memory_status": lambda c: c.get_cuda_shared_memory_status(),
    "cuda_shared_memory_register": lambda c: c.register_cuda_shared_memory("a", b"", 0, 8),
    "cuda_shared_memory_unregister": lambda c: c.unregister_cuda_shared_memory(),
    "trace_settings": lambda c: c.get_trace_settings(),
    "update_trace_settings": lambda c: c.update_trace_settings(settings={"trace_level": ["OFF"]}),
    "log_settings": lambda c: c.get_log_settings(),
    "update_log_settings": lambda c: c.update_log_settings({"log_info": True}),
}


@pytest.mark.parametrize("call", UNIMPLEMENTED)
def test_what_is_not_served_is_unimplemented(client: Any, call: str) -> None:
    with pytest.raises(InferenceServerException) as refused:
        UNIMPLEMENTED[call](client)
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
