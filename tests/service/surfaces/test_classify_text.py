"""Texts: what `POST /v1/classify-text[/batch]` and `Vision/ClassifyText[Batch]` do alike."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import numpy as np
import pytest

from protos.lectorium.v1 import vision_pb2 as pb
from tests.packages import assert_close
from tests.service.surfaces.callers import in_flight
from tests.service.surfaces.classifying_texts import BATCHES, ONE, SEVERAL, TRANSPORTS, TextTransport, VisionText, ask
from tests.service.surfaces.conftest import StartServer
from tests.service.surfaces.sockets import connect, exchange, read_reply
from tests.service.surfaces.transports import Refused
from tests.serving import MAX_REQUEST_BYTES, Server, eventually
from tests.text_packages import LABELS, MAX_BYTES, MULTIPLE, TOP_K, text_probabilities

TEXTS = ["Hello", "Zwölf Boxkämpfer", "пять", "二", "a" * MULTIPLE, "one more, " * 9, "𐍅", '"quotes" \\ \n']
MAX_TEXTS = 64


@pytest.fixture(scope="module", params=TRANSPORTS)
def texts(request: pytest.FixtureRequest, server: Server) -> Iterator[TextTransport]:
    """Each way to have one text classified in turn."""
    with closing(TRANSPORTS[request.param](server)) as transport:
        yield transport


@pytest.fixture(scope="module", params=BATCHES)
def batches(request: pytest.FixtureRequest, server: Server) -> Iterator[TextTransport]:
    """Each way to have several in turn."""
    with closing(BATCHES[request.param](server)) as transport:
        yield transport


def check(labels: list[dict[str, Any]], text: str) -> None:
    """They are the most probable ones of the text, in order."""
    wanted = text_probabilities(text)
    order = np.argsort(-wanted)[: len(labels)]
    assert [label["index"] for label in labels] == order.tolist()
    assert [label["label"] for label in labels] == [LABELS[i] for i in order]
    assert_close(np.array([label["probability"] for label in labels], "f4"), wanted[order])


def refusal(transport: TextTransport, text: str = "a text", code: str = "INVALID_ARGUMENT", **fields: Any) -> str:
    """The message with which the text is refused."""
    with pytest.raises(Refused) as caught:
        transport.classify_text(text, **fields)
    assert caught.value.code == code
    assert len(caught.value.message) < 400
    return caught.value.message


def test_the_answer_holds_model_version_labels_and_timing_and_nothing_else(texts: TextTransport) -> None:
    answer = texts.classify_text("Hello")
    assert answer.keys() == {"model", "version", "labels", "timing"}
    assert (answer["model"], answer["version"], len(answer["labels"])) == ("letters", "1", TOP_K)
    assert answer["timing"].keys() == {"queue_ms", "decode_ms", "compute_ms"}
    assert min(answer["timing"].values()) > 0
    assert all(label.keys() == {"label", "index", "probability"} for label in answer["labels"])


@pytest.mark.parametrize("text", TEXTS)
def test_labels_are_the_most_probable_first(texts: TextTransport, text: str) -> None:
    answer = texts.classify_text(text, model="letters", version="1", top_k=len(LABELS))
    assert len(answer["labels"]) == len(LABELS)
    check(answer["labels"], text)


def test_short_and_long_texts_at_once_get_their_own_answers(texts: TextTransport) -> None:
    asked = [f"{i}{text}" for i in range(10) for text in TEXTS]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(texts.classify_text, asked))
    for text, answer in zip(asked, answers, strict=True):
        check(answer["labels"], text)


@pytest.mark.parametrize("count", [1, 3, MAX_TEXTS])
def test_several_texts_have_their_own_labels_in_their_order(batches: TextTransport, count: int) -> None:
    asked = [f"{i} {TEXTS[i % len(TEXTS)]}" for i in range(count)]
    answer = batches.classify_texts(asked, top_k=len(LABELS))
    assert answer.keys() == {"model", "version", "results", "timing"}
    assert [result.keys() for result in answer["results"]] == [{"labels"}] * count
    for text, result in zip(asked, answer["results"], strict=True):
        check(result["labels"], text)


def test_a_batch_is_one_request(batches: TextTransport, server: Server) -> None:
    ok = {"model": "letters", "surface": batches.surface, "code": "OK"}
    before = server.metric("lectorium_request_duration_seconds_count", **ok)
    batches.classify_texts(TEXTS)
    assert server.metric("lectorium_request_duration_seconds_count", **ok) == before + 1


def test_every_way_gives_the_same_labels(server: Server) -> None:
    first, *others = [ask(server, way, "every way")["labels"] for way in TRANSPORTS]
    assert all(other == first for other in others)


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "model": ({"model": "nope"}, "NOT_FOUND", "no model 'nope'"),
    "a long name": ({"model": "x" * 5000}, "NOT_FOUND", "no model 'xxx"),
    "version": ({"version": "9"}, "NOT_FOUND", "'letters' has no version '9'; it has ['1']"),
    "another task": ({"model": "tiny"}, "NOT_FOUND", "model 'tiny' does not classify texts; these do: ['letters']"),
    "no labels": ({"top_k": 0}, "INVALID_ARGUMENT", "top_k is 0; model 'letters' allows 1 to 4"),
    "too many labels": ({"top_k": 1_000_000}, "INVALID_ARGUMENT", "top_k is 1000000; model 'letters' allows 1 to 4"),
    "empty": ({"text": ""}, "INVALID_ARGUMENT", f"the text is empty; model 'letters' allows 1 to {MAX_BYTES} bytes"),
    "too long": (
        {"text": "é" * MAX_BYTES},
        "INVALID_ARGUMENT",
        f"the text has {2 * MAX_BYTES} bytes in UTF-8; model 'letters' allows at most {MAX_BYTES}",
    ),
    "nul": ({"text": "a\0b"}, "INVALID_ARGUMENT", "byte 1 of the text is a NUL character"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_the_same_words(texts: TextTransport, case: str) -> None:
    fields, code, words = WRONG[case]
    assert words in refusal(texts, **{"code": code, **fields})


@pytest.mark.parametrize("text", ["", "x" * (MAX_BYTES + 1), "\0"])
def test_one_bad_text_refuses_the_batch_and_is_named_by_its_index(batches: TextTransport, text: str) -> None:
    with pytest.raises(Refused, match=r"^INVALID_ARGUMENT: texts\[2\]: "):
        batches.classify_texts(["good", "too", text, text])


@pytest.mark.parametrize("count", [0, MAX_TEXTS + 1, 5000])
def test_no_texts_and_too_many_are_refused(batches: TextTransport, count: int) -> None:
    with pytest.raises(Refused, match=f"^INVALID_ARGUMENT: {count} texts were sent; 1 to {MAX_TEXTS} are allowed"):
        batches.classify_texts(["one"] * count)


def test_a_text_as_long_as_a_request_may_be_is_refused(texts: TextTransport) -> None:
    assert "at most" in refusal(texts, "x" * MAX_REQUEST_BYTES)


def test_http_says_413_of_what_is_too_long(server: Server) -> None:
    too_long = httpx.post(server.http + ONE, json={"text": "x" * (MAX_BYTES + 1)})
    assert (too_long.status_code, too_long.json().keys()) == (413, {"error"})
    too_large = httpx.post(server.http + ONE, content=b" " * (MAX_REQUEST_BYTES + 1))
    assert (too_large.status_code, too_large.json()) == (
        413,
        {"error": f"the request has {MAX_REQUEST_BYTES + 1} bytes; at most {MAX_REQUEST_BYTES} are allowed"},
    )


WRONG_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the request is not JSON: "),
    "broken": (b'{"text": "a', "the request is not JSON: "),
    "a form": (b"--x\r\nContent-Disposition: form-data; name=text\r\n\r\na\r\n--x--\r\n", "the request is not JSON: "),
    "another encoding": ('{"text": "é"}'.encode("latin1"), "the request is not JSON: "),
    "half a character": (b'{"text": "\\ud800"}', "the request is not JSON: "),
    "very deep": (b"[" * 60_000, "the request is not JSON: "),
    "of very many values": (b"[" * 200_000, "bytes outside its strings, the most allowed"),
    "a list": (b"[]", "request is a list; it must be an object"),
    "a text alone": (b'"a"', "request is a string; it must be an object"),
    "no text": (b'{"model": "letters"}', "is missing"),
    "a number": (b'{"text": 1}', "is a whole number; it must be"),
    "null": (b'{"text": null}', "is null; it must be"),
    "unknown key": (b'{"text": "a", "else": 1}', "request: unknown key 'else'; known are ['model', "),
    "model": (b'{"text": "a", "model": 1}', "request: 'model' is a whole number; it must be a string"),
    "version": (b'{"text": "a", "version": 1}', "request: 'version' is a whole number; it must be a string"),
    "top_k": (b'{"text": "a", "top_k": "3"}', "request: 'top_k' is a string; it must be a whole number"),
    "half a label": (b'{"text": "a", "top_k": 1.5}', "request: 'top_k' is a number; it must be a whole number"),
    "true": (b'{"text": "a", "top_k": true}', "request: 'top_k' is a boolean; it must be a whole number"),
    "endless": (
        b'{"text": "a", "top_k": 1%s}' % (b"0" * 99),
        "request: 'top_k' is a number; it must be a whole number",
    ),
    "negative": (b'{"text": "a", "top_k": -1}', "top_k is -1; model 'letters' allows 1 to 4"),
}


@pytest.mark.parametrize("path", [ONE, SEVERAL])
@pytest.mark.parametrize("case", WRONG_BODIES)
def test_a_wrong_body_is_refused_in_words(server: Server, case: str, path: str) -> None:
    body, words = WRONG_BODIES[case]
    if path == SEVERAL:
        body = body.replace(b'"text": "a"', b'"texts": ["a"]').replace(b'"text": ', b'"texts": ')
    response = httpx.post(server.http + path, content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json().keys()) == (400, {"error"})
    assert words in response.json()["error"]
    assert len(response.json()["error"]) < 300


def test_a_body_that_is_said_to_be_something_else_is_refused_by_that_name_where_it_is_no_json(server: Server) -> None:
    for content, kind in ((b"text=a", "application/x-www-form-urlencoded"), (b"--x\r\n", "multipart/form-data")):
        response = httpx.post(server.http + ONE, content=content, headers={"content-type": kind})
        assert response.status_code == 400
        assert response.json() == {"error": f"content-type is {kind!r}; it must be application/json"}


@pytest.mark.parametrize("kind", ["pickle", "arrow"])
def test_what_bentomls_services_send_each_other_is_refused(server: Server, kind: str) -> None:
    headers = {"content-type": f"application/vnd.bentoml+{kind}"}
    response = httpx.post(server.http + ONE, content=b"\x80\x04N.", headers=headers)
    assert response.status_code == 400
    assert response.json() == {
        "error": f"content-type is 'application/vnd.bentoml+{kind}'; it must be application/json"
    }


def test_a_text_among_several_that_is_none_is_named_by_its_index(server: Server) -> None:
    response = httpx.post(server.http + SEVERAL, json={"texts": ["a", 1, None]})
    assert response.status_code == 400
    assert response.json() == {"error": "request: texts[1] is not a string; 'texts' must be a list of strings"}


def test_null_is_as_good_as_nothing_and_the_content_type_says_nothing(server: Server) -> None:
    body = '{"text": "Hello", "model": null, "version": null, "top_k": null}'
    for kind in ("application/json", "application/json; charset=utf-8", "text/plain", ""):
        answer = httpx.post(server.http + ONE, content=body, headers={"content-type": kind})
        assert answer.status_code == 200
        check(answer.json()["labels"], "Hello")


def test_the_id_of_a_grpc_request_comes_back(server: Server) -> None:
    with closing(VisionText(server)) as vision:
        assert vision.stub.ClassifyText(pb.ClassifyTextRequest(text="a", id="seven")).id == "seven"
        assert vision.stub.ClassifyTextBatch(pb.ClassifyTextBatchRequest(texts=["a"], id="eight")).id == "eight"


@pytest.mark.parametrize("method", ["ClassifyText", "ClassifyTextBatch"])
@pytest.mark.parametrize("noise", [b"\xff" * 100, b"\x0a\x02\xff\xfe"], ids=["no message", "no UTF-8"])
def test_bytes_that_are_no_message_are_refused(server: Server, method: str, noise: bytes) -> None:
    with closing(VisionText(server)) as vision:
        call: Any = vision.channel.unary_unary(f"/lectorium.v1.Vision/{method}")
        with pytest.raises(Exception, match=f"the request's {len(noise)} bytes cannot be read"):
            call(noise, timeout=10)


@pytest.mark.parametrize("way", TRANSPORTS)
def test_texts_are_counted_and_timed(server: Server, way: str) -> None:
    surface = TRANSPORTS[way](server).surface

    def measured() -> list[float]:
        labels = {"model": "letters", "version": "1", "surface": surface}
        return [
            server.metric("lectorium_request_duration_seconds_count", **labels, code="OK"),
            server.metric("lectorium_request_duration_seconds_count", **labels, code="INVALID_ARGUMENT"),
            server.metric("lectorium_rejections_total", **labels, reason="too_large"),
            server.metric("lectorium_queue_duration_seconds_count", **labels),
            server.metric("lectorium_decode_duration_seconds_count", **labels),
            server.metric("lectorium_compute_duration_seconds_count", **labels),
        ]

    before = measured()
    ask(server, way)
    ask(server, way, "another")
    with pytest.raises(Refused):
        ask(server, way, "x" * (MAX_BYTES + 1))
    assert [now - then for now, then in zip(measured(), before, strict=True)] == [2, 1, 1, 2, 2, 2]
    assert in_flight(server, surface) == 0


def test_an_upload_that_is_begun_when_the_server_drains_is_answered_and_a_new_one_is_not(start: StartServer) -> None:
    server = start()
    body = b'{"text": "Hello"}'
    head = f"POST {ONE} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with connect(server.http_port) as upload, closing(VisionText(server)) as vision:
        vision.classify_text("before")
        upload.sendall(head + body[:5])
        assert eventually(lambda: in_flight(server, "http") == 1)
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not server.answers("/readyz"))
        late = exchange(server.http_port, head + body)
        assert (late.status, b"shutting down" in late.body) == (503, True)
        assert "shutting down" in refusal(vision, code="UNAVAILABLE")
        upload.sendall(body[5:])
        reply = read_reply(upload)
    assert reply.status == 200
    check(httpx.Response(200, content=reply.body).json()["labels"], "Hello")
    assert server.wait() == 0


def test_the_card_says_what_a_text_may_be(server: Server) -> None:
    card = httpx.get(f"{server.http}/v1/models/letters").raise_for_status().json()
    assert card["task"] == "classify-text"
    assert card["text"] == {"tensor": "text", "max_bytes": MAX_BYTES, "multiple": MULTIPLE}
    assert card["parameters"]["top_k"] == {"default": TOP_K, "minimum": 1, "maximum": len(LABELS)}
