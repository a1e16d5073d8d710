"""The form of `POST /v1/classify`, well and badly filled in."""

import gzip
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.pictures import png
from tests.service.surfaces.transports import refuse_unless_ok
from tests.serving import MAX_REQUEST_BYTES, Server

PATH = "/v1/classify"
MULTIPART = {"content-type": "multipart/form-data; boundary=x"}
IMAGE_PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + png()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.http, timeout=30) as client:
        yield client


def classify(client: httpx.Client, **request: Any) -> dict[str, Any]:
    return dict(refuse_unless_ok(client.post(PATH, **request)).json())


def test_empty_fields_mean_the_defaults(client: httpx.Client) -> None:
    answer = classify(client, files={"image": png()}, data={"model": "", "version": "", "top_k": ""})
    assert (answer["model"], answer["version"], len(answer["labels"])) == ("tiny", "2", 2)


@pytest.mark.parametrize(
    ("fields", "model", "version", "count"),
    [
        ({"model": '"slow"', "top_k": "1"}, "slow", "1", 1),
        ({"version": '"1"', "model": '""'}, "tiny", "1", 2),
        ({"model": "null", "version": "null", "top_k": "null"}, "tiny", "2", 2),
    ],
)
def test_fields_may_be_json_as_bentomls_client_sends_them(
    client: httpx.Client, fields: dict[str, str], model: str, version: str, count: int
) -> None:
    answer = classify(client, files={"image": png()}, data=fields)
    assert (answer["model"], answer["version"], len(answer["labels"])) == (model, version, count)


@pytest.mark.parametrize(
    ("came", "meant"), [('"caf\\u00e9"', "café"), ('"a', '"a'), ('"a" b', '"a" b'), ("null ", "null ")]
)
def test_a_text_is_read_as_json_where_it_is_a_json_string_and_else_as_it_is(
    client: httpx.Client, came: str, meant: str
) -> None:
    response = client.post(PATH, files={"image": png()}, data={"model": came})
    assert response.json()["error"].startswith(f"no model {meant!r}")


@pytest.mark.parametrize("announced", ["image/png", "image/jpeg", "application/octet-stream", "nonsense"])
def test_the_files_announced_type_does_not_matter(client: httpx.Client, announced: str) -> None:
    assert classify(client, files={"image": ("x", png(), announced)})["model"] == "tiny"


def test_the_media_type_is_read_whatever_its_case(client: httpx.Client) -> None:
    headers = {"content-type": "Multipart/Form-Data; boundary=x"}
    assert classify(client, content=IMAGE_PART + b"\r\n--x--\r\n", headers=headers)["model"] == "tiny"


def test_a_chunked_upload_is_answered(client: httpx.Client) -> None:
    body = IMAGE_PART + b"\r\n--x--\r\n"
    chunks = (body[i : i + 7] for i in range(0, len(body), 7))
    assert classify(client, content=chunks, headers=MULTIPART)["model"] == "tiny"


WRONG_FORMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "image as text": ({"files": {"image": (None, "abc")}}, ["'image' is text; it must be a file"]),
    "no image": ({"files": {"model": (None, "tiny")}}, ["'image' is missing; it must be a file"]),
    "two images": ({"files": [("image", png()), ("image", png())]}, ["'image' appears 2 times; once is allowed"]),
    "many images": ({"files": [("image", png())] * 9}, ["over 4 files; at most 1 are allowed"]),
    "model twice": (
        {"files": {"image": png()}, "data": {"model": ["tiny", "slow"]}},
        ["'model' appears 2 times; once is allowed"],
    ),
    "model as a file": ({"files": {"model": b"tiny"}}, ["'image' is missing; it must be a file"]),
    "unknown field": (
        {"files": {"image": png()}, "data": {"modell": "tiny"}},
        [
            "unknown form field 'modell'",
            "['explain', 'explain_label', 'image', 'layer', 'model', 'top_k', 'version', 'views']",
        ],
    ),
    "many fields": ({"files": {"image": png()}, "data": {f"f{i}": "" for i in range(50)}}, ["fields", "8"]),
    "top_k in words": (
        {"files": {"image": png()}, "data": {"top_k": "two"}},
        ["'top_k' is 'two'; it must be a whole"],
    ),
    "top_k negative": (
        {"files": {"image": png()}, "data": {"top_k": "-1"}},
        ["'top_k' is '-1'; it must be a whole"],
    ),
    "top_k fraction": ({"files": {"image": png()}, "data": {"top_k": "1.5"}}, ["is '1.5'; it must be a whole number"]),
    "top_k enormous": ({"files": {"image": png()}, "data": {"top_k": "9" * 9999}}, ["'top_k' is '999"]),
    "top_k in Arabic digits": ({"files": {"image": png()}, "data": {"top_k": "٢"}}, ["a whole number"]),
    "another type": (
        {"content": png(), "headers": {"content-type": "text/plain"}},
        ["content-type is 'text/plain'; it must be multipart/form-data or application/json, or an image's type"],
    ),
    "nothing": ({}, ["content-type is missing"]),
    "no boundary": (
        {"content": IMAGE_PART, "headers": {"content-type": "multipart/form-data"}},
        ["cannot be read", "boundary"],
    ),
    "another boundary": (
        {"content": IMAGE_PART, "headers": {"content-type": "multipart/form-data; boundary=y"}},
        ["cannot be read"],
    ),
    "cut short": ({"content": IMAGE_PART, "headers": MULTIPART}, ["cannot be read: Unexpected end"]),
    "noise": ({"content": bytes(range(256)) * 40, "headers": MULTIPART}, ["cannot be read"]),
    "endless headers": ({"content": b"--x\r\n" + b"A: b\r\n" * 10_000, "headers": MULTIPART}, ["cannot be read"]),
    "a part without a name": (
        {"content": b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n", "headers": MULTIPART},
        ["cannot be read", "name"],
    ),
    **{
        f"charset {charset}": (
            {"content": IMAGE_PART, "headers": {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}},
            [f"the form's charset is {charset!r}; it must be utf-8"],
        )
        for charset in ("utf-16", "punycode", "undefined", "iso-8859-1", "nonsense")
    },
    "options in the URL": (
        {"files": {"image": png()}, "params": {"top_k": "1"}},
        ["query parameter 'top_k' is not allowed; options must be fields of the body: ['explain', "],
    ),
    "an unknown encoding": (
        {"files": {"image": png()}, "headers": {"content-encoding": "br"}},
        ["content-encoding is 'br'; allowed are gzip, deflate and none"],
    ),
    "a name that is no text": (
        {
            "content": b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nabc\r\n--x--\r\n',
            "headers": MULTIPART,
        },
        ["cannot be read"],
    ),
}


@pytest.mark.parametrize("case", WRONG_FORMS)
def test_a_wrong_form_is_refused_in_words(client: httpx.Client, case: str) -> None:
    request, words = WRONG_FORMS[case]
    response = client.post(PATH, **request)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    message = response.json()["error"]
    assert [word for word in words if word not in message] == []
    assert len(message) < 400


def test_a_long_text_of_a_charset_that_is_slow_to_read_keeps_nobody_waiting(client: httpx.Client) -> None:
    # As punycode, this text would take Python's codec many seconds, and everybody's.
    text = b"a" * 100_000 + b"-" + b"b9a" * 200_000
    part = b'\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + text + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x; charset=punycode"}
    response = client.post(PATH, content=IMAGE_PART + part, headers=headers, timeout=5)
    assert response.status_code == 400


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8"])
def test_a_form_may_say_that_it_is_of_utf_8(client: httpx.Client, charset: str) -> None:
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    assert classify(client, content=IMAGE_PART + b"\r\n--x--\r\n", headers=headers)["model"] == "tiny"


def test_a_compressed_form_is_read(client: httpx.Client) -> None:
    headers = {**MULTIPART, "content-encoding": "gzip"}
    assert classify(client, content=gzip.compress(IMAGE_PART + b"\r\n--x--\r\n"), headers=headers)["model"] == "tiny"


@pytest.mark.parametrize("announced", [True, False], ids=["content-length", "chunked"])
def test_a_body_over_the_limit_is_refused(client: httpx.Client, announced: bool) -> None:
    size = MAX_REQUEST_BYTES + 1
    content = bytes(size) if announced else (bytes(size // 8 + 1) for _ in range(8))
    response = client.post(PATH, content=content, headers=MULTIPART)
    assert response.status_code == 413
    assert f"at most {MAX_REQUEST_BYTES} are allowed" in response.json()["error"]
