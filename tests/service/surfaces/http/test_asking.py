"""A task is asked by a form, by JSON, or by the bare file: all three mean the same, and are read as strictly."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.packages import example
from tests.pictures import png
from tests.serving import MAX_REQUEST_BYTES, Server

CLASSIFY = "/v1/classify"
PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.http, timeout=30) as client:
        yield client


def without_timing(response: httpx.Response) -> dict[str, Any]:
    answer: dict[str, Any] = response.raise_for_status().json()
    del answer["timing"]
    return answer


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "IMAGE/PNG; q=1", "application/octet-stream"])
def test_a_bare_image_is_answered_as_the_same_in_a_form(client: httpx.Client, kind: str) -> None:
    options = {"top_k": "1", "model": "tiny", "version": "1", "views": "flip"}
    bare = client.post(CLASSIFY, params=options, content=png(), headers={"content-type": kind})
    assert without_timing(bare) == without_timing(client.post(CLASSIFY, files={"image": png()}, data=options))


def test_an_image_in_json_is_answered_as_the_same_in_a_form(client: httpx.Client) -> None:
    options: dict[str, Any] = {"top_k": 1, "model": "tiny", "version": None}
    asked = client.post(CLASSIFY, json={"image": b64encode(png()).decode(), **options})
    assert without_timing(asked) == without_timing(
        client.post(CLASSIFY, files={"image": png()}, data={"top_k": "1", "model": "tiny"})
    )


def test_several_images_in_json_are_answered_in_their_order(client: httpx.Client) -> None:
    files = [b64encode(png(example(1, seed)[0])).decode() for seed in (0, 1)]
    answer = client.post(f"{CLASSIFY}/batch", json={"images": files, "model": "tiny"}).raise_for_status().json()
    alone = [client.post(CLASSIFY, json={"image": file, "model": "tiny"}).json()["labels"] for file in files]
    assert [result["labels"] for result in answer["results"]] == alone


@pytest.mark.parametrize("path", ["/v1/caption", "/v1/caption/stream"])
def test_a_caption_is_asked_by_the_bare_image_too(client: httpx.Client, path: str) -> None:
    response = client.post(path, params={"max_words": "1", "strategy": "greedy"}, content=png(), headers=PNG)
    assert response.status_code == 200
    assert b'"captions":[{' in response.content


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown option": ({"params": {"topk": "1"}}, "unknown query parameter 'topk'; known are"),
    "an unknown option is told the near one": ({"params": {"topk": "1"}}, "did you mean 'top_k'?"),
    "an option twice": ({"params": [("top_k", "1"), ("top_k", "2")]}, "'top_k' appears twice; once is allowed"),
    "the image in the URL": ({"params": {"image": "x"}}, "unknown query parameter 'image'"),
    "no number": ({"params": {"top_k": "one"}}, "query parameter 'top_k' is 'one'; it must be a whole number"),
    "no image": ({"content": b""}, "the image has 0 bytes"),
    "no picture": ({"content": b"a cat"}, "the 5 bytes are not an image"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_with_a_bare_image_is_refused_in_words(client: httpx.Client, case: str) -> None:
    request, words = WRONG[case]
    response = client.post(CLASSIFY, **{"content": png(), "headers": PNG, **request})
    assert response.status_code == 400
    assert words in response.json()["error"]


WRONG_JSON: dict[str, tuple[Any, str]] = {
    "a list": ([], "request is a list; it must be an object"),
    "no image": ({}, "request: 'image' is missing"),
    "an image that is no text": ({"image": 5}, "request: 'image' is a whole number; it must be a string"),
    "an image that is no base64": ({"image": "?"}, "request: 'image' must be a file's bytes in base64: "),
    "an image beyond ASCII": ({"image": "é"}, "request: 'image' must be a file's bytes in base64: "),
    "an unknown key": ({"image": "", "topk": 1}, "request: unknown key 'topk'; known are ['explain', "),
    "a number as text": ({"image": "", "top_k": "1"}, "request: 'top_k' is a string; it must be a whole number"),
}


@pytest.mark.parametrize("case", WRONG_JSON)
def test_wrong_json_about_an_image_is_refused_in_words(client: httpx.Client, case: str) -> None:
    body, words = WRONG_JSON[case]
    response = client.post(CLASSIFY, json=body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(words)


EMBED = "/v1/embed"
IMAGE = b64encode(png()).decode()
# How a yes or no is written, and what it is then; the default of this one is no.
TRUTHS: dict[str, bool] = {"true": True, "True": True, "false": False, "FALSE": False, "": False, "null": False}


@pytest.mark.parametrize("text", TRUTHS)
@pytest.mark.parametrize("way", ["form", "url"])
def test_a_yes_or_no_is_written_as_true_or_false(client: httpx.Client, way: str, text: str) -> None:
    options = {"model": "vectors", "normalize": text}
    if way == "form":
        came = client.post(EMBED, files={"image": png()}, data=options)
    else:
        came = client.post(EMBED, params=options, content=png(), headers=PNG)
    wanted = client.post(EMBED, json={"image": IMAGE, "model": "vectors", "normalize": TRUTHS[text]})
    assert without_timing(came) == without_timing(wanted)


@pytest.mark.parametrize("body", [{}, {"normalize": None}, {"normalize": False}])
def test_a_yes_or_no_that_is_not_said_is_the_default(client: httpx.Client, body: dict[str, Any]) -> None:
    came = client.post(EMBED, json={"image": IMAGE, "model": "vectors", **body})
    assert without_timing(came) == without_timing(client.post(EMBED, files={"image": png()}, data={"model": "vectors"}))


@pytest.mark.parametrize("text", ["yes", "1", "0", "truee", "l2", "\u0130"])
def test_another_word_for_yes_is_refused(client: httpx.Client, text: str) -> None:
    words = f"'normalize' is {text!r}; it must be true or false"
    for response in (
        client.post(EMBED, files={"image": png()}, data={"normalize": text}),
        client.post(EMBED, params={"normalize": text}, content=png(), headers=PNG),
    ):
        assert response.status_code == 400
        assert words in response.json()["error"]


@pytest.mark.parametrize(
    ("value", "kind"), [("true", "a string"), (1, "a whole number"), ([], "a list"), ({}, "an object")]
)
def test_a_yes_or_no_in_json_is_no_other_value(client: httpx.Client, value: Any, kind: str) -> None:
    response = client.post(EMBED, json={"image": IMAGE, "normalize": value})
    assert response.status_code == 400
    assert response.json()["error"].startswith(f"request: 'normalize' is {kind}; it must be true or false")


def test_a_batch_takes_no_bare_image(client: httpx.Client) -> None:
    response = client.post(f"{CLASSIFY}/batch", content=png(), headers=PNG)
    assert response.status_code == 400
    assert response.json() == {
        "error": "content-type is 'image/png'; it must be multipart/form-data or application/json"
    }


MANY = MAX_REQUEST_BYTES // 4
MANY_VALUES = {
    "empty files": ("/v1/classify/batch", b'{"images":[' + b'"",' * MANY + b'""]}'),
    "empty texts": ("/v1/classify-text/batch", b'{"texts":[' + b'"",' * MANY + b'""]}'),
    "strings that end with a backslash": ("/v1/classify-text/batch", b'["' + b'\\\\","' * (MANY // 2) + b'"]'),
    "lists": (CLASSIFY, b"[" + b"[]," * MANY + b"0]"),
    "keys": (CLASSIFY, b'{"image":""' + b',"":0' * (MANY // 2) + b"}"),
}


@pytest.mark.parametrize("case", MANY_VALUES)
def test_json_of_far_more_values_than_a_task_takes_is_refused_before_they_are_made(
    client: httpx.Client, case: str
) -> None:
    path, body = MANY_VALUES[case]
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json() == {"error": "request: the JSON has over 81920 bytes outside its strings, the most allowed"}


@pytest.mark.parametrize("piece", ["[],", '"', "\\", '\\",'])
def test_a_long_string_is_one_value_whatever_is_in_it(client: httpx.Client, piece: str) -> None:
    name = piece * (MAX_REQUEST_BYTES // 8 // len(piece))
    response = client.post(CLASSIFY, json={"image": b64encode(png()).decode(), "model": name})
    assert response.status_code == 404
    assert response.json()["error"].startswith("no model ")
