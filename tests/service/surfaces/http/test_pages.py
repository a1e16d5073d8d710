"""What port 3000 shows: the cards and the OpenAPI page."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import Server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.http, timeout=30) as client:
        yield client


def test_the_cards_of_all_models_and_versions_are_listed(client: httpx.Client) -> None:
    cards = client.get("/v1/models").raise_for_status().json()["models"]
    listed = {(card["name"], card["version"]) for card in cards}
    others = ("slow", "seeing", "captioner", "colours", "greys", "letters", "vectors", "echo", "half")
    assert listed == {("tiny", 1), ("tiny", 2), *((name, 1) for name in others)}


@pytest.mark.parametrize(("query", "version"), [("", 2), ("?version=", 2), ("?version=1", 1), ("?version=2", 2)])
def test_one_models_card_is_its_model_json(client: httpx.Client, zoo: Path, query: str, version: int) -> None:
    card = client.get(f"/v1/models/tiny{query}").raise_for_status().json()
    written = json.loads((zoo / "tiny" / str(version) / "model.json").read_text())
    assert within(card, written)
    # Defaults the file leaves out are shown.
    assert card["preprocessing"]["interpolation"] == "bilinear"
    assert card["parameters"]["views"] == {"default": "single", "allowed": ["single", "flip", "ten_crop"]}
    assert card["explain"] == {"cam": None, "deconv": None}


def within(found: Any, wanted: Any) -> bool:
    """Whether all of ``wanted`` is in ``found``, at the same place."""
    if isinstance(wanted, dict):
        return all(key in found and within(found[key], value) for key, value in wanted.items())
    return bool(found == wanted)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/models/nope", "no model 'nope'"),
        ("/v1/models/tiny?version=9", "'tiny' has no version '9'; it has ['1', '2']"),
        ("/v1/models/tiny?version=" + "9" * 5000, "has no version '999"),
    ],
)
def test_the_card_of_an_unknown_model_or_version_is_not_found(client: httpx.Client, path: str, words: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.json().keys() == {"error"}
    assert words in response.json()["error"]
    assert len(response.json()["error"]) < 400


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/v1/models/", "../models"),
        ("/v1/models/tiny/?version=1", "../tiny?version=1"),
        ("/v1/models/a%20%22b/", "../a%20%22b"),
        ("/v1/models/%3f%23/", "../%3F%23"),
    ],
)
def test_a_slash_too_many_leads_to_the_path_without_it_whatever_the_host_is_said_to_be(
    client: httpx.Client, path: str, location: str
) -> None:
    response = client.get(path, headers={"host": "evil.example"})
    assert response.status_code == 307
    assert response.headers["location"] == location
    assert "evil" not in str(response.headers)


def test_the_cards_are_found_with_a_slash_too_many(client: httpx.Client) -> None:
    for path in ("/v1/models", "/v1/models/tiny?version=1"):
        with_slash = path.replace("models", "models/", 1) if path.endswith("models") else path.replace("?", "/?")
        assert client.get(with_slash, follow_redirects=True).json() == client.get(path).json()


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/models/tiny/1", "/..%2f..%2fetc/passwd"])
def test_an_unknown_path_is_not_found(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.json() == {"error": f"no path {response.url.path!r}"}


@pytest.mark.parametrize(
    ("verb", "path"),
    [("GET", "/v1/classify"), ("PUT", "/v1/classify"), ("POST", "/v1/models"), ("DELETE", "/v1/models/tiny")],
)
def test_a_wrong_verb_is_refused_with_the_right_one(client: httpx.Client, verb: str, path: str) -> None:
    response = client.request(verb, path)
    assert response.status_code == 405
    assert response.json()["error"].startswith(f"{verb} {path}: this path takes ")
    assert set(response.headers["allow"].split(", ")) == ({"POST"} if "classify" in path else {"GET", "HEAD"})


def test_the_page_and_all_it_loads_come_from_this_server(client: httpx.Client) -> None:
    page = client.get("/").raise_for_status()
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!--", "")
    loaded = [link for link in re.findall(r'(?:src|href|url)[=:] ?"([^"]+)"', page.text) if link != "data:,"]
    assert len(loaded) == 3
    for link in loaded:
        assert link.startswith("./")
        assert client.get("/" + link.removeprefix("./")).raise_for_status().content


def test_the_page_may_load_and_run_only_what_it_has(client: httpx.Client) -> None:
    page = client.get("/").raise_for_status()
    allowed = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert allowed["default-src"] == allowed["frame-ancestors"] == allowed["base-uri"] == "'none'"
    assert allowed["script-src"] == f"'self' 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    assert allowed["style-src"] == allowed["connect-src"] == "'self'"
    assert not re.search(r"<style|\son\w+=|\sstyle=", page.text)


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        *[
            ("GET", path, 200)
            for path in ("/", "/docs.json", "/v1/models", "/static_content/swagger-ui.css", "/metrics")
        ],
        *[("GET", "/nope", 404), ("PUT", "/v1/models", 405), ("POST", "/v1/classify", 400), ("GET", "/readyz", 200)],
    ],
)
def test_every_answer_keeps_a_browser_from_guessing_framing_and_telling(
    client: httpx.Client, verb: str, path: str, status: int
) -> None:
    response = client.request(verb, path)
    assert response.status_code == status
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
