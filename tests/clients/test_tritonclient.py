"""tritonclient over HTTP and gRPC, each also in its asyncio form: one test for all four where they do the same."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.packages import MAX_BATCH, example, expected
from tests.serving import Server

KINDS = ["http", "grpc", "http.aio", "grpc.aio"]


class Triton:
    """One of the four clients, called alike: an awaitable is waited for."""

    def __init__(self, kind: str, server: Server) -> None:
        self.http = kind.startswith("http")
        self.aio = kind.endswith("aio")
        self.module: Any = tritonclient.http if self.http else tritonclient.grpc
        self._runner = asyncio.Runner()
        self._client = self._wait(self._open(server)) if self.aio else self._make(self.module, server)

    def _make(self, module: Any, server: Server) -> Any:
        return module.InferenceServerClient(server.rest.removeprefix("http://") if self.http else server.grpc)

    async def _open(self, server: Server) -> Any:
        return self._make(self.module.aio, server)  # inside the loop, which it takes hold of

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """The result of one of the client's methods."""
        return self._wait(getattr(self._client, method)(*arguments, **options))

    def json(self, method: str, *arguments: Any) -> dict[str, Any]:
        """The same for a method that gives a message."""
        return dict(self.call(method, *arguments, **({} if self.http else {"as_json": True})))

    def infer(self, images: NDArray[Any], model: str = "tiny", **options: Any) -> Any:
        return self.call("infer", model, [self.input(images)], **options)

    def infer_at_once(self, batches: list[NDArray[Any]], model: str) -> list[Any]:
        """One request for each, all on their way together."""
        if self.aio:
            return list(self._wait(self._gather(batches, model)))
        if self.http:
            waiting = [self._client.async_infer(model, [self.input(images)]) for images in batches]
            return [request.get_result() for request in waiting]
        with ThreadPoolExecutor(len(batches)) as pool:
            return list(pool.map(lambda images: self.infer(images, model), batches))

    async def _gather(self, batches: list[NDArray[Any]], model: str) -> Any:
        return await asyncio.gather(*(self._client.infer(model, [self.input(images)]) for images in batches))

    def input(self, images: NDArray[Any], datatype: str = "UINT8", name: str = "image", **form: Any) -> Any:
        tensor = self.module.InferInput(name, list(images.shape), datatype)
        return tensor.set_data_from_numpy(images, **form)

    def output(self, name: str, **form: Any) -> Any:
        return self.module.InferRequestedOutput(name, **form)

    def close(self) -> None:
        self.call("close")
        self._runner.close()

    def _wait(self, result: Any) -> Any:
        async def wait() -> Any:
            return await result

        return self._runner.run(wait()) if inspect.isawaitable(result) else result


@pytest.fixture(scope="module", params=KINDS)
def triton(request: pytest.FixtureRequest, server: Server) -> Iterator[Triton]:
    client = Triton(request.param, server)
    yield client
    client.close()


def check(answer: Any, images: NDArray[Any], version: int) -> None:
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected(images, version), atol=1e-6)


def test_server_and_model_are_live_and_ready(triton: Triton) -> None:
    assert triton.call("is_server_live")
    assert triton.call("is_server_ready")
    assert triton.call("is_model_ready", "tiny")
    assert triton.call("is_model_ready", "tiny", "1")


def test_metadata_of_the_server_is_read(triton: Triton) -> None:
    metadata = triton.json("get_server_metadata")
    assert metadata["name"] == "lectorium"
    assert metadata["extensions"] == [
        "binary_tensor_data",
        "classification",
        "generate",
        "model_configuration",
        "model_repository",
        "model_repository(unload_dependents)",
        "schedule_policy",
        "statistics",
    ]


def test_metadata_of_a_model_is_read(triton: Triton) -> None:
    metadata = triton.json("get_model_metadata", "tiny")
    assert metadata["versions"] == ["1", "2"]
    assert metadata["platform"] == "onnx_onnxv1"
    assert [(t["name"], t["datatype"], [int(d) for d in t["shape"]]) for t in metadata["inputs"]] == [
        ("image", "UINT8", [-1, 4, 4])
    ]
    assert [t["name"] for t in metadata["outputs"]] == ["probabilities", "mean"]


def test_the_configuration_of_a_model_is_read(triton: Triton) -> None:
    found = triton.json("get_model_config", "tiny")
    found = found.get("config", found)
    assert found["max_batch_size"] == MAX_BATCH
    assert [(i["name"], i["data_type"], [int(d) for d in i["dims"]]) for i in found["input"]] == [
        ("image", "TYPE_UINT8", [4, 4])
    ]


def test_the_statistics_of_a_model_are_read(triton: Triton) -> None:
    triton.infer(example(2))
    (found,) = triton.json("get_inference_statistics", "tiny", "2")["model_stats"]
    assert (found["name"], found["version"]) == ("tiny", "2")
    assert int(found["inference_count"]) >= 2
    assert int(found["inference_stats"]["success"]["ns"]) > 0


@pytest.mark.parametrize("rows", [1, 3, 2 * MAX_BATCH + 1])
def test_an_inference_is_answered(triton: Triton, rows: int) -> None:
    images = example(rows, seed=rows)
    check(triton.infer(images), images, 2)


def test_an_output_is_answered_as_a_classification(triton: Triton) -> None:
    images = example(2)
    wanted = triton.output("probabilities", class_count=2)
    found = triton.infer(images, outputs=[wanted]).as_numpy("probabilities")
    assert found.shape == (2, 2)
    indices = [[int(text.decode().split(":")[1]) for text in row] for row in found]
    assert indices == np.argsort(-expected(images, 2), axis=1)[:, :2].tolist()


def test_texts_are_sent_and_answered(triton: Triton) -> None:
    texts = np.array(["", "é", "a\0b"], object)
    answer = triton.call("infer", "doubler", [triton.input(texts, "BYTES", "x")]).as_numpy("y")
    assert [text.decode() for text in answer] == [text * 2 for text in texts]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_compressed_request_is_answered(triton: Triton, algorithm: str) -> None:
    images = example(3)
    option = "request_compression_algorithm" if triton.http else "compression_algorithm"
    check(triton.infer(images, **{option: algorithm}), images, 2)


def test_the_version_named_answers_and_the_id_is_echoed(triton: Triton) -> None:
    images = example(1)
    answer = triton.infer(images, model_version="1", request_id="seven")
    check(answer, images, 1)
    response = answer.get_response()
    assert (response["id"] if triton.http else response.id) == "seven"
    assert (response["model_version"] if triton.http else response.model_version) == "1"


def test_only_the_outputs_asked_for_come(triton: Triton) -> None:
    answer = triton.infer(example(1), outputs=[triton.output("mean")])
    np.testing.assert_allclose(answer.as_numpy("mean"), example(1).mean((1, 2)), rtol=1e-6)
    assert answer.as_numpy("probabilities") is None


def test_requests_at_once_each_get_their_own_answer(triton: Triton) -> None:
    batches = [example(1 + i % 3, seed=i) for i in range(16)]
    for images, answer in zip(batches, triton.infer_at_once(batches, "tiny"), strict=True):
        check(answer, images, 2)


WRONG: dict[str, tuple[Callable[[Triton], Any], str, str]] = {
    "shape": (
        lambda c: c.infer(np.zeros((1, 5, 5), "u1")),
        "INVALID_ARGUMENT",
        r"is \[1, 5, 5\]; model .* allows \[-1, 4, 4\]",
    ),
    "datatype": (
        lambda c: c.call("infer", "tiny", [c.input(np.zeros((1, 4, 4), "f4"), "FP32")]),
        "INVALID_ARGUMENT",
        "is FP32; model .* allows UINT8",
    ),
    "bytes": (
        lambda c: c.call("infer", "tiny", [c.input(np.array([[[b"a"]]], object), "BYTES")]),
        "INVALID_ARGUMENT",
        "is BYTES; model .* allows UINT8",
    ),
    "input": (
        lambda c: c.call("infer", "tiny", [c.input(example(1), name="picture")]),
        "INVALID_ARGUMENT",
        "no input 'picture'",
    ),
    "output": (
        lambda c: c.infer(example(1), outputs=[c.output("logits")]),
        "INVALID_ARGUMENT",
        r"no output 'logits'; it has \['probabilities', 'mean'\]",
    ),
    "model": (lambda c: c.infer(example(1), "nope"), "NOT_FOUND", "no model 'nope'"),
    "version": (lambda c: c.infer(example(1), model_version="9"), "NOT_FOUND", "no version '9'"),
    "metadata": (lambda c: c.call("get_model_metadata", "nope"), "NOT_FOUND", "no model 'nope'"),
}
HTTP_STATUS = {"INVALID_ARGUMENT": "400", "NOT_FOUND": "404"}


@pytest.mark.parametrize("case", WRONG)
def test_a_refusal_is_the_clients_exception_with_status_and_words(triton: Triton, case: str) -> None:
    ask, code, words = WRONG[case]
    with pytest.raises(InferenceServerException, match=words) as caught:
        ask(triton)
    assert caught.value.status() == (HTTP_STATUS[code] if triton.http else f"StatusCode.{code}")


def test_a_model_nobody_knows_is_not_ready(triton: Triton) -> None:
    assert triton.call("is_model_ready", "nope") is False
    assert triton.call("is_model_ready", "tiny", "9") is False


def test_a_good_request_is_answered_after_bad_ones(triton: Triton) -> None:
    for ask, _, _ in WRONG.values():
        with pytest.raises(InferenceServerException):
            ask(triton)
    check(triton.infer(example(2)), example(2), 2)


@pytest.fixture(scope="module", params=["http", "http.aio"])
def over_http(request: pytest.FixtureRequest, server: Server) -> Iterator[Triton]:
    client = Triton(request.param, server)
    yield client
    client.close()


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_http_tensors_may_be_json_or_binary_each_way(over_http: Triton, binary_in: bool, binary_out: bool) -> None:
    images = example(3)
    given = over_http.input(images, binary_data=binary_in)
    wanted = [over_http.output(name, binary_data=binary_out) for name in ("probabilities", "mean")]
    answer = over_http.call("infer", "tiny", [given], outputs=wanted)
    check(answer, images, 2)
    assert all(("data" in output) != binary_out for output in answer.get_response()["outputs"])


def test_a_grpc_callers_deadline_is_its_exception(server: Server) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        images = example(60 * MAX_BATCH)
        given = tritonclient.grpc.InferInput("image", list(images.shape), "UINT8").set_data_from_numpy(images)
        with pytest.raises(InferenceServerException, match=r"(?i)deadline.exceeded"):
            client.infer("slow", [given], client_timeout=0.1)
