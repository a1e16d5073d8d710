"""generate and generate_stream: JSON in, JSON or events out."""

import gzip
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from service.surfaces.oip.generate_messages import MAX_GATHERED_BYTES
from tests.packages import assert_close, example, expected
from tests.service.surfaces.ticks import FLOOD
from tests.service.surfaces.transports import model_path
from tests.service.surfaces.words import PIECES, said_pieces
from tests.serving import Server
from tests.step_packages import END_TOKEN, chars, diffusion


@pytest.fixture(scope="module")
def client(loops: Server) -> Any:
    with httpx.Client(base_url=loops.rest, timeout=30) as client:
        yield client


def post(client: httpx.Client, call: str, model: str, **message: Any) -> httpx.Response:
    return client.post(f"{model_path(model)}/{call}", json=message)


def generate(client: httpx.Client, model: str, **message: Any) -> dict[str, Any]:
    response = post(client, "generate", model, **message)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json"), response.text
    return dict(response.json())


def events(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *found, rest = response.text.split("\n\n")
    assert rest == ""
    assert all(event.startswith("data: ") for event in found)
    return [orjson.loads(event.removeprefix("data: ")) for event in found]


def stream(client: httpx.Client, model: str, **message: Any) -> list[dict[str, Any]]:
    return events(post(client, "generate_stream", model, **message))


# All that either call answers.
ANSWERS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "generate": lambda client, model, **message: [generate(client, model, **message)],
    "generate_stream": stream,
}


def refusal(client: httpx.Client, call: str, model: str, content: bytes) -> str:
    """The message of a 400, which is a status on both calls: no event has been sent."""
    response = client.post(f"{model_path(model)}/{call}", content=content)
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/json"
    assert len(response.text) < 1000
    return str(response.json()["error"])


def test_a_loop_emits_an_event_at_every_step(client: httpx.Client) -> None:
    found = stream(client, "chars", id="seven", parameters={"seed": 5, "steps": 7})
    assert [event["next_token"] for event in found] == chars(5, 7)
    assert [event["parameters"] for event in found] == [{"step": step, "seed": 5} for step in range(1, 8)]
    heads = {(event["model_name"], event["model_version"], event["id"]) for event in found}
    assert heads == {("chars", "1", "seven")}
    assert ["next_hidden" in event for event in found] == [False] * 6 + [True]
    assert all(type(event["logprob"]) is float for event in found)


def test_generate_lists_what_was_emitted_and_gives_the_last_answer(client: httpx.Client) -> None:
    found = generate(client, "chars", parameters={"seed": 5, "steps": 7})
    steps = stream(client, "chars", parameters={"seed": 5, "steps": 7})
    assert found["next_token"] == chars(5, 7)
    assert found["logprob"] == [event["logprob"] for event in steps]
    assert found["next_hidden"] == steps[-1]["next_hidden"]
    assert found["parameters"] == {"step": 7, "seed": 5}


def test_several_rows_are_answered_as_lists_of_rows(client: httpx.Client) -> None:
    found = generate(client, "chars", token=[1, 2], parameters={"seed": 9, "steps": 4})
    assert np.array(found["next_token"]).T.tolist() == [chars(9, 4, 0, 1), chars(9, 4, 1, 2)]
    assert np.shape(found["next_hidden"]) == (2, 8)


@pytest.mark.parametrize("call", ANSWERS)
def test_the_seed_answered_gives_the_answer_again(client: httpx.Client, call: str) -> None:
    first = ANSWERS[call](client, "chars")
    assert ANSWERS[call](client, "chars", parameters={"seed": first[-1]["parameters"]["seed"]}) == first


@pytest.mark.parametrize("call", ANSWERS)
def test_a_loop_that_emits_nothing_answers_once(client: httpx.Client, call: str) -> None:
    (found,) = ANSWERS[call](client, "diffusion", label=2, parameters={"seed": 5, "steps": 3})
    assert_close(np.array(found["image"]), diffusion(5, 2, 3))
    assert found["parameters"] == {"step": 3, "seed": 5}


IMAGES = example(2)


@pytest.mark.parametrize(
    ("value", "rows"),
    [(IMAGES[:1].tolist(), 1), (IMAGES[0].tolist(), 1), (IMAGES.tolist(), 2)],
    ids=["one_row_in_a_list", "one_row", "two_rows"],
)
@pytest.mark.parametrize("call", ANSWERS)
def test_a_graph_answers_once_with_rows_as_they_came(client: httpx.Client, call: str, value: Any, rows: int) -> None:
    (found,) = ANSWERS[call](client, "tiny", image=value)
    wanted = expected(IMAGES[:rows])
    assert_close(np.array(found["probabilities"]), wanted if rows > 1 else wanted[0])
    assert type(found["mean"]) is (list if rows > 1 else float)
    assert "parameters" not in found


def test_a_number_is_a_row_of_a_tensor_with_one_number_a_row(client: httpx.Client) -> None:
    for token in (3, [3]):
        assert generate(client, "chars", token=token, parameters={"seed": 5})["next_token"] == chars(5, token=3)


@pytest.mark.parametrize(("seed", "steps"), [(5, 7), (3, 5), (11, 5), (7, 20)])
def test_text_is_what_was_said_up_to_the_end_token(client: httpx.Client, seed: int, steps: int) -> None:
    pieces = said_pieces(seed, steps)
    asked = {"seed": seed, "steps": steps}
    assert generate(client, "words", parameters=asked)["text_output"] == "".join(pieces)
    assert [event["text_output"] for event in stream(client, "words", parameters=asked)] == pieces
    assert PIECES[END_TOKEN] not in "".join(pieces)


def test_each_row_has_its_own_text(client: httpx.Client) -> None:
    found = generate(client, "words", token=[1, 2, 1], parameters={"seed": 3, "steps": 9})
    assert found["text_output"] == ["".join(said_pieces(3, 9, token, row)) for row, token in enumerate([1, 2, 1])]


def test_keys_that_name_no_tensor_are_parameters_and_unknown_ones_are_passed_over(client: httpx.Client) -> None:
    asked = {"seed": 5, "colour": [1], "next_token": {}, "stream": True, "parameters": {"steps": 3, "echo": None}}
    assert generate(client, "chars", **asked)["next_token"] == chars(5, 3)


def test_what_parameters_say_comes_before_a_key_beside_them(client: httpx.Client) -> None:
    assert generate(client, "chars", seed=9, parameters={"seed": 5, "steps": 3})["next_token"] == chars(5, 3)


WRONG: dict[str, tuple[bytes, str]] = {
    "seed_beside": (b'{"seed": "5"}', "'seed' is '5'; it must be a whole number from 0"),
    "text": (b'{"text_input": "a cat"}', "has no input 'text_input'; it has ['temperature', 'token']"),
    "id": (b'{"id": 7}', "'id' is a whole number; it must be a string"),
    "parameters": (b'{"parameters": [1]}', "'parameters' is a list; it must be an object"),
    "list": (b"[1]", "is a list; it must be an object"),
    "number": (b"7", "is a whole number; it must be an object"),
    "nothing": (b"", "not JSON"),
    "nan": (b'{"temperature": NaN}', "not JSON"),
    "infinity": (b'{"temperature": 1e999}', "not JSON"),
    "huge_float": (b'{"temperature": 1e300}', "FP32 holds"),
    "huge_integer": (b'{"token": 18446744073709551615}', "INT64 holds"),
    "float_for_integer": (b'{"token": 1.0}', "data holds float; INT64 allows int"),
    "string": (b'{"token": "a"}', "data holds str; INT64 allows int"),
    "null": (b'{"token": null}', "data holds NoneType; INT64 allows int"),
    "object": (b'{"token": {}}', "data holds dict; INT64 allows int"),
    "too_nested": (b'{"token": [[1]]}', "is nested 2 lists deep; shape [-1] allows 0 (one row) or 1 (rows)"),
    "ragged": (b'{"token": [1, [2]]}', "data holds list"),
    "no_rows": (b'{"token": []}', "needs at least one row"),
    "rows_differ": (b'{"token": [1, 2], "temperature": 1}', "inputs have "),
    "brackets": (b'{"token": ' + b"[" * 200_000, "not JSON"),
    "steps": (b'{"parameters": {"steps": 1001}}', "steps is 1001; model 'chars' allows 1 to 1000"),
    "seed": (b'{"parameters": {"seed": -1}}', "'seed' is -1; it must be a whole number from 0"),
}


@pytest.mark.parametrize("call", ANSWERS)
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_with_what_came_and_what_was_wanted(
    client: httpx.Client, case: str, call: str
) -> None:
    content, words = WRONG[case]
    assert words in refusal(client, call, "chars", content)


@pytest.mark.parametrize("value", [[0] * 4, [[[[0] * 4] * 4]], 7, [[0] * 4] * 3, [[0] * 5] * 4])
def test_lists_of_another_nesting_or_size_are_refused(client: httpx.Client, value: Sequence[Any] | int) -> None:
    assert "image" in refusal(client, "generate", "tiny", orjson.dumps({"image": value}))


@pytest.mark.parametrize("call", ANSWERS)
def test_other_verbs_paths_and_models_are_refused(client: httpx.Client, call: str) -> None:
    assert client.get(f"{model_path('chars')}/{call}").status_code == 405
    assert post(client, call, "nope").status_code == 404
    assert client.post(f"{model_path('chars', '7')}/{call}", json={}).status_code == 404
    assert client.post(f"{model_path('chars', '1')}/{call}", json={"parameters": {"steps": 1}}).status_code == 200


def test_emissions_too_long_for_one_answer_are_for_a_stream(client: httpx.Client) -> None:
    most = MAX_GATHERED_BYTES // (4 * FLOOD)
    response = post(client, "generate", "flood", parameters={"steps": most + 1})
    assert (response.status_code, "generate_stream" in response.text) == (413, True)


def test_a_compressed_request_is_read(client: httpx.Client) -> None:
    body = gzip.compress(b'{"parameters": {"seed": 5, "steps": 3}}')
    found = client.post(f"{model_path('chars')}/generate", content=body, headers={"content-encoding": "gzip"})
    assert found.json()["next_token"] == chars(5, 3)


def test_events_come_as_they_are_emitted(client: httpx.Client) -> None:
    body = {"parameters": {"steps": 1_000_000}}
    with client.stream("POST", f"{model_path('ticks')}/generate_stream", json=body) as response:
        assert next(response.iter_lines()).startswith("data: ")


def test_events_are_measured(loops: Server, client: httpx.Client) -> None:
    def measured() -> list[float]:
        labels = {"model": "chars", "version": "1", "surface": "oip_rest"}
        names = ("lectorium_emissions_total", "lectorium_first_emission_seconds_count")
        return [loops.metric(name, **labels) for name in names]

    before = measured()
    stream(client, "chars", parameters={"seed": 5, "steps": 6})
    generate(client, "chars", parameters={"seed": 5, "steps": 2})
    assert [now - then for now, then in zip(measured(), before, strict=True)] == [8, 2]
