"""tritonclient loads, unloads and lists models, over HTTP and gRPC."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.bare_packages import OFFSET, adder
from tests.needs import needs
from tests.packages import example, expected, write_package
from tests.serving import Server, eventually, write_zoo

MODULES: dict[str, Any] = {"http": tritonclient.http, "grpc": tritonclient.grpc}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoo(tmp_path_factory.mktemp("controlled"))


@pytest.fixture(scope="module")
@needs("server")
def controlled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(folder, tmp_path_factory.mktemp("home") / "home", model_control="explicit") as server:
        yield server


class Client:
    """One of the two clients, called alike."""

    def __init__(self, kind: str, server: Server) -> None:
        self._module = MODULES[kind]
        address = server.rest.removeprefix("http://") if kind == "http" else server.grpc
        self.triton = self._module.InferenceServerClient(address)
        self._json = {} if kind == "http" else {"as_json": True}

    def index(self) -> list[tuple[str, str, str]]:
        found = self.triton.get_model_repository_index(**self._json)
        rows = found["models"] if self._json else found
        return [(row["name"], row["version"], row["state"]) for row in rows]

    def config(self, model: str) -> dict[str, Any]:
        found = self.triton.get_model_config(model, **self._json)
        return dict(found["config"] if self._json else found)

    def infer(self, model: str, name: str, values: Any, datatype: str, version: str = "") -> Any:
        wanted = self._module.InferInput(name, list(values.shape), datatype)
        wanted.set_data_from_numpy(values)
        return self.triton.infer(model, [wanted], model_version=version)


@pytest.fixture(params=MODULES)
def client(request: pytest.FixtureRequest, controlled: Server) -> Iterator[Client]:
    client = Client(request.param, controlled)
    yield client
    client.triton.close()


def test_the_index_lists_every_version(client: Client) -> None:
    assert client.index() == [("slow", "1", "READY"), ("tiny", "1", "READY"), ("tiny", "2", "READY")]


def test_a_model_is_unloaded_and_loaded(client: Client) -> None:
    client.triton.unload_model("tiny", unload_dependents=True)
    assert eventually(lambda: client.index()[1:] == [("tiny", "1", "UNAVAILABLE"), ("tiny", "2", "UNAVAILABLE")])
    client.triton.load_model("tiny")
    assert client.triton.is_model_ready("tiny")


def test_a_model_is_loaded_with_a_configuration(client: Client) -> None:
    config = {"max_batch_size": 2, "version_policy": {"latest": {"num_versions": 1}}}
    client.triton.load_model("tiny", config=json.dumps(config))
    assert ("tiny", "1", "UNAVAILABLE") in client.index()
    assert client.config("tiny")["max_batch_size"] == 2
    found = client.infer("tiny", "image", example(3), "UINT8")
    np.testing.assert_allclose(found.as_numpy("probabilities"), expected(example(3), 2), atol=1e-5)
    client.triton.load_model("tiny")
    assert ("tiny", "1", "READY") in client.index()


def test_the_configuration_it_gets_is_one_it_may_load_with(client: Client) -> None:
    before = client.config("tiny")
    client.triton.load_model("tiny", config=json.dumps(before))
    assert client.config("tiny") == before


def test_a_model_is_loaded_from_files(client: Client, tmp_path: Path) -> None:
    package = write_package(tmp_path, "sent", 4)
    files = {f"file:4/{path.name}": path.read_bytes() for path in package.iterdir()}
    client.triton.load_model("sent", config="{}", files=files)
    assert ("sent", "4", "READY") in client.index()
    found = client.infer("sent", "image", example(2), "UINT8", "4")
    np.testing.assert_allclose(found.as_numpy("probabilities"), expected(example(2), 4), atol=1e-5)
    client.triton.unload_model("sent")


def test_a_graph_alone_is_loaded_from_a_file(client: Client) -> None:
    config = {
        "backend": "onnxruntime",
        "max_batch_size": 4,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [4]}],
    }
    graph = {"file:1/model.onnx": adder().SerializeToString()}
    client.triton.load_model("own", config=json.dumps(config), files=graph)
    x = np.arange(8, dtype="f4").reshape(2, 4)
    np.testing.assert_array_equal(client.infer("own", "x", x, "FP32").as_numpy("y"), x + OFFSET)
    client.triton.unload_model("own")


def test_what_is_refused_is_said(client: Client) -> None:
    for name, options, message in (
        ("nowhere", {}, "no model 'nowhere' in the repository"),
        ("tiny", {"config": '{"backend": "python"}'}, "backend is python; tiny/1 has onnxruntime"),
        ("tiny", {"config": "{}", "files": {"file:1/model.onnx": b"none"}}, "tiny/1/model.onnx: ONNX Runtime cannot"),
    ):
        with pytest.raises(InferenceServerException, match=message):
            client.triton.load_model(name, **options)
    assert ("tiny", "1", "READY") in client.index()


@pytest.mark.server
@pytest.mark.parametrize("kind", MODULES)
def test_with_a_control_token_it_sends_it_as_a_header(kind: str, tmp_path: Path) -> None:
    write_package(tmp_path / "zoo")
    with Server(tmp_path / "zoo", tmp_path / "home", model_control="explicit", control_token="s3cret") as server:
        client = Client(kind, server)
        with pytest.raises(InferenceServerException, match="authorization was given 0 times"):
            client.triton.unload_model("tiny")
        token = {"authorization": "Bearer s3cret"}
        client.triton.unload_model("tiny", headers=token)
        assert client.index() == [("tiny", "1", "UNAVAILABLE")]
        client.triton.load_model("tiny", headers=token)
        assert client.triton.is_model_ready("tiny")
        client.triton.close()
