"""`Accept: image/png`: the answer of `POST /v1/segment` is the picture itself."""

from base64 import b64decode
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from tests.pictures import png
from tests.service.surfaces.segmenting import ONE, SEVERAL, blocks, mask_of, read
from tests.serving import Server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.http, timeout=30) as client:
        yield client


def post(client: httpx.Client, accept: str | None, path: str = ONE, **fields: str) -> httpx.Response:
    """A request with a bare image, in a form if it is for several."""
    headers = {"accept": accept} if accept is not None else {}
    if path == SEVERAL:
        return client.post(path, files=[("images", png(blocks()))], data=fields, headers=headers)
    return client.post(path, content=png(blocks()), params=fields, headers={"content-type": "image/png", **headers})


@pytest.mark.parametrize("accept", ["image/png", "image/*", "image/png;q=0.9, application/json;q=0.1"])
def test_a_caller_that_prefers_a_picture_gets_the_mask_itself(client: httpx.Client, accept: str) -> None:
    response = post(client, accept)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert response.headers["vary"] == "accept"
    mode, found = read(response.content)
    assert mode == "P"
    np.testing.assert_array_equal(found, mask_of(blocks()))
    assert response.content == post(client, accept, output="mask").content


def test_the_picture_is_the_overlay_if_that_is_the_output(client: httpx.Client) -> None:
    picture = post(client, "image/png", output="overlay", opacity="1").content
    asked = post(client, None, output="overlay", opacity="1").json()
    assert read(picture)[0] == "RGB"
    assert picture == b64decode(asked["overlay"])


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "image/png;q=0.5, application/json"])
def test_others_get_json(client: httpx.Client, accept: str | None) -> None:
    response = post(client, accept)
    assert (response.headers["content-type"], response.headers["vary"]) == ("application/json", "accept")
    assert response.json()["model"] == "colours"


@pytest.mark.parametrize(
    ("accept", "fields", "status", "words"),
    [
        ("image/png", {"output": "rle"}, 400, "output is 'rle'; with 'accept: image/png' it may be mask or overlay"),
        ("image/png", {"output": "mask,overlay"}, 400, "output is 'mask,overlay'; with 'accept: image/png'"),
        ("image/png", {"opacity": "0.5"}, 400, "opacity was given; it is allowed with output 'overlay' only"),
        ("image/png", {"model": "tiny"}, 404, "model 'tiny' does not segment images"),
        ("image/jpeg", {}, 400, "accept is 'image/jpeg'; it must allow application/json or image/png"),
        ("image/png;q=5", {}, 400, "accept has the quality '5'; it must be a number from 0 to 1"),
    ],
)
def test_errors_stay_json(client: httpx.Client, accept: str, fields: dict[str, str], status: int, words: str) -> None:
    response = post(client, accept, **fields)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert words in response.json()["error"]


@pytest.mark.parametrize("accept", ["image/png", "image/jpeg"])
def test_where_there_is_no_single_picture_the_header_changes_nothing(client: httpx.Client, accept: str) -> None:
    assert len(post(client, accept, SEVERAL).json()["results"]) == 1
    assert post(client, accept, "/v1/classify").json()["model"] == "tiny"


def test_requests_are_counted_by_surface_and_model(server: Server, client: httpx.Client) -> None:
    ok = {"model": "colours", "surface": "http", "code": "OK"}
    before = server.metric("lectorium_request_duration_seconds_count", **ok)
    for path in (ONE, SEVERAL):
        assert post(client, "image/png", path).status_code == 200
    assert server.metric("lectorium_request_duration_seconds_count", **ok) == before + 2
