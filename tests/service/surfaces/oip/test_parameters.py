from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np
import orjson
import pytest

from protos import open_inference_pb2 as pb
from service.engine import DecodingOptions, Model, Options
from service.errors import InvalidArgument
from service.package import read_package
from service.surfaces.oip.parameters import read_options
from tests.packages import example
from tests.service.surfaces.callers import slow_model_occupied
from tests.service.surfaces.conversation import Conversation, request
from tests.service.surfaces.transports import Grpc, Refused, Rest, infer_path, model_path
from tests.serving import Server
from tests.step_packages import write_captioner
from tests.step_packages.words import CAT, A

Ask = Callable[..., Any]


MODEL = cast(Model, SimpleNamespace(name="graph", program=None))


def test_parameters_become_options() -> None:
    assert read_options({}, MODEL) == Options()
    found = read_options({"priority": 2, "timeout": 1_500_000, "steps": 7, "seed": 0, "emit_every": 4}, MODEL)
    assert found == Options(priority=2, queue_timeout_s=1.5, steps=7, seed=0, emit_every=4)


def test_zero_says_nothing_of_priority_and_timeout() -> None:
    assert read_options({"priority": 0, "timeout": 0}, MODEL) == Options()


@pytest.mark.parametrize(
    "name", ["priority", "timeout", "steps", "seed", "emit_every", "top_k", "beam_width", "n_best"]
)
@pytest.mark.parametrize("value", [-1, 1.0, True, "1", None, [1]])
def test_a_value_of_another_kind_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"{name!r} is .*; it must be a whole number from 0"):
        read_options({name: value}, MODEL)


@pytest.mark.parametrize("value", [1, "red", None, [{}]])
def test_unknown_names_are_passed_over(value: Any) -> None:
    assert read_options({"a" * 10_000: value, "colour": value, "seed": 3}, MODEL) == Options(seed=3)


@pytest.mark.parametrize("value", [0, "", False])
def test_sequence_parameters_that_say_nothing_are_passed_over(value: Any) -> None:
    assert read_options({"sequence_id": value, "sequence_start": False, "sequence_end": False}, MODEL) == Options()


@pytest.mark.parametrize("parameters", [{"sequence_id": 7}, {"sequence_id": "a"}, {"sequence_start": True}])
def test_a_sequence_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="no model here keeps sequences"):
        read_options(parameters, MODEL)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model with a vocabulary, not loaded."""
    package = read_package(write_captioner(tmp_path_factory.mktemp("parameters")))
    return cast(Model, SimpleNamespace(name="captioner", package=package, program=package.card.program))


def test_how_tokens_are_chosen_becomes_a_decoding(captioner: Model) -> None:
    asked = {"strategy": "sample", "temperature": 2, "top_k": 3, "top_p": 0.5, "prefix": "a cat", "seed": 1}
    wanted = DecodingOptions("sample", temperature=2.0, top_k=3, top_p=0.5, prefix=(A, CAT))
    assert read_options(asked, captioner) == Options(seed=1, decoding=wanted)
    asked = {"strategy": "beam", "beam_width": 4, "length_penalty": 0.5, "n_best": 2}
    wanted = DecodingOptions("beam", beam_width=4, length_penalty=0.5, n_best=2)
    assert read_options(asked, captioner) == Options(decoding=wanted)


@pytest.mark.parametrize("tokens", [[4, 5], "4,5", "4, 5"])
def test_a_prefix_may_be_tokens(tokens: Any) -> None:
    assert read_options({"prefix_tokens": tokens}, MODEL) == Options(decoding=DecodingOptions(prefix=(4, 5)))
    assert read_options({"prefix_tokens": 4}, MODEL) == Options(decoding=DecodingOptions(prefix=(4,)))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"temperature": "1"}, "'temperature' is '1'; it must be a number"),
        ({"top_p": True}, "'top_p' is True; it must be a number"),
        ({"temperature": float("nan")}, "'temperature' is nan; it must be a number"),
        ({"length_penalty": float("-inf")}, "'length_penalty' is -inf; it must be a number"),
        ({"length_penalty": None}, "'length_penalty' is None; it must be a number"),
        ({"strategy": 1}, "'strategy' is 1; it must be a text"),
        ({"prefix": [4]}, "'prefix' is a list of 1; it must be a text"),
        ({"prefix": "a cat"}, "prefix is 'a cat'; model 'graph' has no vocabulary"),
        ({"prefix": "a", "prefix_tokens": 4}, "'prefix' and 'prefix_tokens' are both set; one of them is allowed"),
        ({"prefix_tokens": "a"}, "'prefix_tokens' is 'a'; it must be a list of whole numbers from 0"),
        ({"prefix_tokens": [-1]}, "a list of whole numbers from 0"),
        ({"prefix_tokens": [4, "x"]}, "a list of whole numbers from 0"),
        ({"prefix_tokens": [4, True]}, "a list of whole numbers from 0"),
        ({"prefix_tokens": 4.5}, "a list of whole numbers from 0"),
        ({"prefix_tokens": ""}, "a list of whole numbers from 0"),
        ({"prefix_tokens": [4] * 70_000}, "'prefix_tokens' has 70000 tokens; at most 65536 are allowed"),
        ({"prefix_tokens": "4," * 70_000}, "'prefix_tokens' has 70001 tokens; at most 65536 are allowed"),
        ({"strategy": {"a": [1] * 9}}, "'strategy' is an object of 1; it must be a text"),
        ({"prefix_tokens": "9" * 9999}, "'prefix_tokens' is '9{40}'; it must be a list"),
    ],
)
def test_a_wish_of_another_kind_is_refused_by_name(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        read_options(parameters, MODEL)


def ask_rest(server: Server, model: str, parameters: dict[str, Any]) -> None:
    shape = [1, 4, 4] if model == "slow" else [1]
    name, datatype = ("image", "UINT8") if model == "slow" else ("label", "INT64")
    given = {"name": name, "datatype": datatype, "shape": shape, "data": [1] * int(np.prod(shape))}
    with closing(Rest(server)) as rest:
        rest.post(infer_path(model), orjson.dumps({"inputs": [given], "parameters": parameters}))


def inputs_of(model: str) -> dict[str, Any]:
    return {"image": example(1)} if model == "slow" else {"label": np.array([1])}


def ask_grpc(server: Server, model: str, parameters: dict[str, Any]) -> None:
    with closing(Grpc(server)) as oip:
        oip.send(request(model, inputs=inputs_of(model), **parameters))


def ask_stream(server: Server, model: str, parameters: dict[str, Any]) -> None:
    with Conversation(server, triton_grpc_error="true") as caller:
        caller.ask(model, inputs=inputs_of(model), **parameters)
        caller.read_all()


def ask_generate(server: Server, model: str, parameters: dict[str, Any]) -> None:
    given = {name: value.tolist() for name, value in inputs_of(model).items()}
    answer = httpx.post(f"{server.rest}{model_path(model)}/generate", json={**given, "parameters": parameters})
    if answer.status_code != 200:
        raise Refused({400: "INVALID_ARGUMENT", 504: "DEADLINE_EXCEEDED"}[answer.status_code], answer.json()["error"])


WAYS: dict[str, Ask] = {"rest": ask_rest, "grpc": ask_grpc, "stream": ask_stream, "generate": ask_generate}


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest, loops: Server) -> Ask:
    """Each way to ask with parameters in turn: ``ask(model, parameters)``."""
    way = WAYS[request.param]
    return lambda model, **parameters: way(loops, model, parameters)


def test_every_parameter_is_taken_on_every_way(ask: Ask) -> None:
    ask("diffusion", priority=1, timeout=5_000_000, steps=2, seed=7)


def test_steps_and_seed_outside_the_loops_range_are_refused_on_every_way(ask: Ask) -> None:
    with pytest.raises(Refused, match="steps is 101; model 'diffusion' allows 1 to 100"):
        ask("diffusion", steps=101)
    with pytest.raises(Refused, match=r"it must be a whole number from 0"):
        ask("diffusion", seed=-1)


def test_a_graph_takes_neither_steps_nor_a_seed(ask: Ask) -> None:
    with pytest.raises(Refused, match="runs once and allows none"):
        ask("slow", seed=7)


def test_a_priority_the_model_does_not_have_is_refused_on_every_way(ask: Ask) -> None:
    with pytest.raises(Refused, match=r"priority is 2; .* allows 0 \(the default\) to 1") as refused:
        ask("slow", priority=2)
    assert refused.value.code == "INVALID_ARGUMENT"


def test_a_timeout_is_the_longest_wait_in_the_queue_on_every_way(ask: Ask, loops: Server) -> None:
    with slow_model_occupied(loops), pytest.raises(Refused, match=r"not taken from the queue in 0\.05 s") as refused:
        ask("slow", timeout=50_000)
    assert refused.value.code == "DEADLINE_EXCEEDED"


def test_a_priority_may_come_as_either_kind_of_integer(loops: Server) -> None:
    asked = request("diffusion", inputs={"label": np.array([1])})
    asked.parameters["priority"].int64_param = 1
    with closing(Grpc(loops)) as oip:
        oip.send(asked)
        asked.parameters["priority"].uint64_param = (1 << 64) - 1
        with pytest.raises(Refused, match="priority is 18446744073709551615"):
            oip.send(asked)
        asked.parameters["priority"].CopyFrom(pb.InferParameter())
        with pytest.raises(Refused, match="'priority' is None"):
            oip.send(asked)


def test_the_seed_of_a_loop_that_emits_nothing_is_answered_to_infer(loops: Server) -> None:
    given = {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}
    path = f"{loops.rest}{infer_path('diffusion')}"
    first = httpx.post(path, json={"inputs": [given]}).json()
    again = httpx.post(path, json={"inputs": [given], "parameters": {"seed": first["parameters"]["seed"]}}).json()
    assert again == first
    assert httpx.post(path, json={"inputs": [given]}).json() != first


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_infer_of_a_loop_that_emits_is_unsupported_and_names_what_is_not(loops: Server, way: str) -> None:
    words = "request it as a stream, with ModelStreamInfer or generate_stream"
    if way == "rest":
        answer = httpx.post(f"{loops.rest}{infer_path('chars')}", json={"inputs": []})
        assert (answer.status_code, words in answer.text) == (501, True)
    else:
        with closing(Grpc(loops)) as oip, pytest.raises(Refused, match=words) as refused:
            oip.send(request("chars"))
        assert refused.value.code == "UNIMPLEMENTED"
