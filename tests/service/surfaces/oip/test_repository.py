"""The model repository extension, REST and gRPC alike: index, load, unload."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from protos import open_inference_pb2 as pb
from tests.bare_packages import adder
from tests.needs import needs
from tests.packages import MAX_BATCH, example, expected, write_package
from tests.service.surfaces.oip.repository_calls import GrpcRepository, Repository, RestRepository, states
from tests.service.surfaces.transports import Grpc, Refused, Rest, tensor
from tests.serving import Server, eventually, write_zoo
from tests.step_packages import write_chars


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoo(tmp_path_factory.mktemp("controlled"))


@pytest.fixture(scope="module")
@needs("server")
def controlled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that loads and unloads on request."""
    home = tmp_path_factory.mktemp("controlled_server") / "home"
    with Server(folder, home, model_control="explicit") as server:
        yield server


@pytest.fixture(params=["rest", "grpc"])
def models(request: pytest.FixtureRequest, controlled: Server) -> Iterator[Repository]:
    """Both transports in turn."""
    with closing(Rest(controlled) if request.param == "rest" else Grpc(controlled)) as oip:
        yield RestRepository(oip) if isinstance(oip, Rest) else GrpcRepository(oip)


@pytest.fixture
def name(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The name of a package of the test's own."""
    name = f"m{abs(hash(request.node.name))}"
    write_package(folder, name)
    yield name
    shutil.rmtree(folder / name)


def refusal(models: Repository, name: str, *arguments: Any, **parameters: Any) -> str:
    """The message with which a wrong argument of a load is refused; nothing has changed."""
    before = models.index()
    with pytest.raises(Refused) as refused:
        models.load(name, *arguments, **parameters)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert len(refused.value.message) < 1500
    assert models.index() == before
    return refused.value.message


def test_a_model_is_loaded_asked_and_unloaded(models: Repository, name: str) -> None:
    assert states(models, name) == {"1": "UNAVAILABLE"}
    models.load(name)
    assert states(models, name) == {"1": "READY"}
    assert models.oip.ready(name)
    answer = models.oip.infer(name, [tensor(example(3))])
    assert abs(answer.outputs["probabilities"] - expected(example(3))).max() < 1e-5
    models.unload(name)
    assert eventually(lambda: states(models, name) == {"1": "UNAVAILABLE"})
    with pytest.raises(Refused, match="NOT_FOUND"):
        models.oip.infer(name, [tensor(example(1))])


def test_the_index_can_be_of_what_is_ready(models: Repository, name: str) -> None:
    everything, ready = models.index(), models.index(ready=True)
    assert [row for row in everything if row["state"] == "READY"] == ready
    assert {row["name"] for row in everything} - {row["name"] for row in ready} == {name}
    assert everything == sorted(everything, key=lambda row: (row["name"], int(row["version"])))


def test_unload_dependents_is_accepted_and_nothing_depends(models: Repository, name: str) -> None:
    models.load(name)
    models.unload(name, unload_dependents=True)
    assert models.oip.ready("tiny")
    with pytest.raises(Refused, match="INVALID_ARGUMENT: unload: unload_dependents is 'yes'; it must be true or false"):
        models.unload(name, unload_dependents="yes")


def test_a_corrupt_package_is_refused_with_the_reason_and_the_old_one_serves(
    models: Repository, name: str, folder: Path
) -> None:
    models.load(name)
    (folder / name / "1/labels.txt").write_text("one\n")
    with pytest.raises(Refused) as refused:
        models.load(name)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert refused.value.message.startswith(f"{name}/1/labels.txt has sha256 ")
    (row,) = [row for row in models.index() if row["name"] == name]
    assert (row["state"], row["reason"]) == ("READY", refused.value.message)
    models.oip.infer(name, [tensor(example(1))])
    models.unload(name)


@pytest.mark.parametrize("name", ["nowhere", "..", ".", "tiny\n", "tiny/1", "../tiny", "%2e%2e", "T" * 3000, "\u00e9"])
def test_a_model_that_is_nowhere_is_not_found(models: Repository, name: str) -> None:
    for change in (models.load, models.unload):
        with pytest.raises(Refused) as refused:
            change(name)
        assert refused.value.code == "NOT_FOUND"
        assert len(refused.value.message) < 400


# The configuration ---------------------------------------------------------------------------------------------------


def test_a_configuration_changes_versions_batch_and_scheduling(models: Repository, name: str, folder: Path) -> None:
    write_package(folder, name, 2)
    queue = {
        "timeout_action": "DELAY",
        "default_timeout_microseconds": "2000000",
        "allow_timeout_override": True,
        "max_queue_size": 7,
    }
    wanted = {
        "version_policy": {"specific": {"versions": [2]}},
        "max_batch_size": 4,
        "dynamic_batching": {"priority_levels": 3, "default_priority_level": 2, "default_queue_policy": queue},
    }
    models.load(name, config=json.dumps(wanted))
    assert models.oip.model_metadata(name)["versions"] == ["2"]
    found = MessageToDict(models.oip.model_config(name), preserving_proto_field_name=True)
    assert found["version_policy"] == {"specific": {"versions": ["2"]}}
    assert found["max_batch_size"] == 4
    assert found["dynamic_batching"] == {
        "priority_levels": "3",
        "default_priority_level": "2",
        "default_queue_policy": queue,
    }
    models.load(name)
    assert models.oip.model_metadata(name)["versions"] == ["1", "2"]
    assert models.oip.model_config(name).max_batch_size == MAX_BATCH
    models.unload(name)


def test_the_configuration_a_model_answers_is_one_it_takes(models: Repository, name: str) -> None:
    models.load(name)
    found = models.oip.model_config(name)
    models.load(name, config=json.dumps(MessageToDict(found, preserving_proto_field_name=True)))
    assert models.oip.model_config(name) == found
    models.unload(name)


def test_a_configuration_may_say_a_part_of_what_is_so(models: Repository, name: str) -> None:
    part = {"name": name, "backend": "onnxruntime", "output": [{"name": "probabilities", "dims": [3]}, {}]}
    models.load(name, config=json.dumps(part))
    models.unload(name)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "other"}, "config: name is other; m.* has m"),
        ({"backend": "tensorflow"}, "config: backend is tensorflow; m.* has onnxruntime"),
        (
            {"input": [{"name": "image", "data_type": "TYPE_FP32"}]},
            "input is .*TYPE_FP32.*; m.* has .*TYPE_UINT8",
        ),
        ({"output": []} | {"input": [{}, {}]}, "config: input is"),
        ({"max_batch_size": MAX_BATCH + 1}, "max_batch_size is 9; model .* allows 1 to 8"),
        ({"max_batch_size": -1}, "max_batch_size is -1; model .* allows 1 to 8"),
        ({"max_batch_size": 2**40}, "config: .*max_batch_size"),
        ({"max_batch_size": "many"}, "config: .*max_batch_size"),
        ({"max_batch_size": [4]}, "config: .*max_batch_size"),
        ({"sequence_batching": {}}, "config: .*sequence_batching"),
        ({"dynamic_batching": {"preferred_batch_size": [4]}}, "config: .*preferred_batch_size"),
        ({"dynamic_batching": {"max_queue_delay_microseconds": 5}}, "max_queue_delay_microseconds is 5; it must be 0"),
        ({"dynamic_batching": {"priority_levels": 65}}, "config: .*priority_levels: .*64"),
        (
            {"dynamic_batching": {"priority_levels": 2, "default_priority_level": 3}},
            "default_priority_level is 3; priority_levels is 2",
        ),
        ({"version_policy": {}}, "exactly one of 'latest', 'specific' and 'all' is required"),
        ({"version_policy": {"specific": {"versions": [0]}}}, "config: .*versions"),
        ({"version_policy": {"specific": {"versions": [5]}}}, "specific:5 chooses none of"),
        ({"version_policy": {"newest": {}}}, "config: .*newest"),
        ([], "config is a list; it must be an object"),
        (5, "config is a whole number; it must be an object"),
        ({"instance_group": [{"count": 900}]}, "config: instance_group is"),
    ],
)
def test_a_configuration_that_is_not_so_is_refused_by_its_key(
    models: Repository, name: str, config: Any, message: str
) -> None:
    assert re.search(message, refusal(models, name, config=json.dumps(config)))


@pytest.mark.parametrize("config", ["", "{", "[" * 200_000, '{"name":' * 5000, '{"name": "\x80"', "null"])
def test_a_configuration_that_is_no_json_is_refused(models: Repository, name: str, config: str) -> None:
    assert re.search("not JSON|must be an object", refusal(models, name, config=config))


@pytest.mark.parametrize("config", [5, True])
def test_a_configuration_is_a_text(models: Repository, name: str, config: Any) -> None:
    assert "it must be JSON as a string" in refusal(models, name, config=config)


def test_a_loads_unknown_parameters_are_passed_over(models: Repository, name: str) -> None:
    unknown: dict[str, Any] = {"configuration": "{}", "F" * 5000: "1"}
    models.load(name, **unknown)
    assert models.oip.ready(name)
    models.unload(name)


# Files ---------------------------------------------------------------------------------------------------------------


def files_of(package: Path, version: int) -> dict[str, bytes]:
    return {f"file:{version}/{path.name}": path.read_bytes() for path in package.iterdir()}


def test_a_model_is_loaded_from_the_files_of_the_request(models: Repository, name: str, tmp_path: Path) -> None:
    models.load(name, files_of(write_package(tmp_path, name, 3), 3), config="{}")
    assert states(models, name) == {"1": "UNAVAILABLE", "3": "READY"}
    answer = models.oip.infer(name, [tensor(example(2))], version="3")
    assert abs(answer.outputs["probabilities"] - expected(example(2), 3)).max() < 1e-5
    models.load(name)
    assert eventually(lambda: states(models, name) == {"1": "READY"})
    models.unload(name)


def test_a_graph_alone_is_a_model(models: Repository) -> None:
    config = {"max_batch_size": 3, "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]}
    graph = {"file:7/model.onnx": adder().SerializeToString()}
    models.load("brought", graph, config=json.dumps(config))
    assert models.oip.model_config("brought").max_batch_size == 3
    answer = models.oip.infer("brought", [tensor(example(1)[0].astype("f4"), "x")])
    assert answer.version == "7"
    assert (answer.outputs["y"] == example(1)[0] + 10.0).all()
    models.unload("brought")
    assert eventually(lambda: states(models, "brought") == {})


@pytest.mark.parametrize(
    "file",
    [
        "file:",
        "file:model.onnx",
        "file:1/",
        "file:1/../../tiny/1/model.onnx",
        "file:../1/model.onnx",
        "file:1//etc/passwd",
        "file:/etc/passwd",
        "file:0/model.onnx",
        "file:01/model.onnx",
        "file:1/.hidden",
        "file:1/a/b.onnx",
        "file:1/a\\b.onnx",
        "file:1/model.onnx\0",
        "file:1/model.onnx\n",
        "file:1/" + "n" * 129,
        "file:9999999999/model.onnx",
        "file:1/\u00e9.onnx",
    ],
)
def test_a_files_name_reaches_nowhere(models: Repository, name: str, file: str) -> None:
    assert "it must be file:<version>/<plain file name>" in refusal(models, name, {file: b"x"}, config="{}")


@pytest.mark.parametrize("name", ["..", ".", "../../escaped", "/tmp/escaped", "a/../../escaped", "escaped\0", ""])
def test_a_models_name_reaches_nowhere_with_its_files(models: Repository, name: str) -> None:
    with pytest.raises(Refused) as refused:
        models.load(name, {"file:1/model.onnx": adder().SerializeToString()}, config="{}")
    assert refused.value.code == "NOT_FOUND"
    assert {row["name"] for row in models.index()} == {"tiny", "slow"}


def test_files_need_a_configuration_and_are_bounded_in_number(models: Repository, name: str) -> None:
    assert "files but no parameter config" in refusal(models, name, {"file:1/model.onnx": b"x"})
    many = {f"file:1/f{i}": b"" for i in range(10_000)}
    assert "10000 files; at most 64" in refusal(models, name, many, config="{}")


def test_files_are_bounded_in_size(controlled: Server, models: Repository, name: str) -> None:
    with pytest.raises(Refused) as refused:
        models.load(name, {"file:1/model.onnx": bytes(2 << 20)}, config="{}")
    assert refused.value.code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
    assert models.oip.live()


@pytest.mark.parametrize("content", [b"", b"no graph", adder().SerializeToString()[:-20]])
def test_files_that_are_no_package_are_refused(models: Repository, name: str, content: bytes) -> None:
    message = refusal(models, name, {"file:1/model.onnx": content}, config="{}")
    assert message.startswith(f"{name}/1/model.onnx: ONNX Runtime cannot load it")
    assert "/tmp" not in message
    assert f"{name}/1/model.json: no such file" in refusal(models, name, {"file:1/notes.txt": content}, config="{}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[" * 200_000, "not JSON"),
        (b"[]", "request is a list; it must be an object"),
        (b'{"parameters": []}', "'parameters' is a list; it must be an object"),
        (b'{"parameters": {"config": "{}", "file:1/model.onnx": "####"}}', "it must be bytes in base64"),
        (b'{"parameters": {"config": "{}", "file:1/model.onnx": 5}}', "it must be bytes in base64"),
        (b'{"parameters": {"config": "{}", "file:1/model.onnx": null}}', "it must be bytes in base64"),
        (b'{"parameters": {"config": null}}', "it must be JSON as a string"),
        ('{"parameters": {"config": "{}", "file:1/model.onnx": "\u00e9"}}'.encode(), "it must be bytes in base64"),
    ],
)
def test_a_rest_body_that_is_none_is_refused(controlled: Server, body: bytes, message: str) -> None:
    with closing(Rest(controlled)) as rest:
        answer = rest.client.post("/v2/repository/models/tiny/load", content=body)
        assert answer.status_code == 400
        assert message in answer.json()["error"]
        assert rest.ready("tiny")


def test_an_index_request_that_is_none_is_refused(controlled: Server) -> None:
    with closing(Rest(controlled)) as rest:
        for body, status in ((b"", 200), (b"{}", 200), (b'{"red": true}', 200), (b'{"ready": "yes"}', 400)):
            assert rest.client.post("/v2/repository/index", content=body).status_code == status
        for path in ("index", "models/tiny/load", "models/tiny/unload"):
            assert rest.client.get(f"/v2/repository/{path}").status_code == 405


def test_over_grpc_a_file_is_bytes_and_the_repository_has_no_name(controlled: Server) -> None:
    with closing(Grpc(controlled)) as grpc:
        models: Any = GrpcRepository(grpc)
        with pytest.raises(Refused, match=r"file:1/model\.onnx is str; it must be bytes"):
            models.load("tiny", {"file:1/model.onnx": "YQ=="}, config="{}")
        for method in ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"):
            request = getattr(pb, f"{method}Request")
            with pytest.raises(Refused, match="there is only one here, named ''"):
                grpc._call(method, request(repository_name="second"))


# Who may -------------------------------------------------------------------------------------------------------------


def test_a_loop_that_emits_is_decoupled(models: Repository, folder: Path) -> None:
    write_chars(folder, "chars")
    models.load("chars")
    assert models.oip.model_config("chars").model_transaction_policy.decoupled
    assert not models.oip.model_config("tiny").model_transaction_policy.decoupled
    models.unload("chars")
    shutil.rmtree(folder / "chars")
