"""Search: what `POST /v1/search[/add|/remove]` and `Vision/Search[Add|Remove]` do alike."""

import signal
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from protos.lectorium.v1 import vision_pb2 as pb
from service.indexes import Item, Store, add
from tests.embedding_packages import vectors
from tests.packages import example
from tests.pictures import png
from tests.search_indexes import COUNT, indexes_of, thumbnail, write_index
from tests.service.surfaces.conftest import StartServer
from tests.service.surfaces.fleet import WORKERS
from tests.service.surfaces.image_transports import Http, Vision, read_message, without_unset
from tests.service.surfaces.transports import TIMEOUT_S, Refused, refuse_unless_ok
from tests.serving import Server


class HttpSearch(Http):
    """`POST /v1/search`."""

    def search(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return self._post("/v1/search", [("image", image)], fields)

    def add(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return self._post("/v1/search/add", [("image", image)], fields)

    def remove(self, **fields: Any) -> dict[str, Any]:
        return dict(without_unset(refuse_unless_ok(self.client.post("/v1/search/remove", json=fields)).json()))


class VisionSearch(Vision):
    """`lectorium.v1.Vision/Search`."""

    def search(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return read_message(self._call("Search", pb.SearchRequest(image=image, **fields)))

    def add(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return read_message(self._call("SearchAdd", pb.SearchAddRequest(image=image, **fields)))

    def remove(self, **fields: Any) -> dict[str, Any]:
        return read_message(self._call("SearchRemove", pb.SearchRemoveRequest(**fields)))


Transport = HttpSearch | VisionSearch
TRANSPORTS: dict[str, Callable[[Server], Transport]] = {"http": HttpSearch, "vision_grpc": VisionSearch}


@pytest.fixture(scope="module", params=TRANSPORTS)
def searches(request: pytest.FixtureRequest, server: Server) -> Iterator[Transport]:
    """Each way to search in turn."""
    with closing(TRANSPORTS[request.param](server)) as transport:
        yield transport


def image(seed: int) -> bytes:
    return png(example(1, seed)[0])


@pytest.fixture
def index(zoo: Path, request: pytest.FixtureRequest) -> str:
    """An index of the test's own."""
    name = f"own-{abs(hash(request.node.nodeid)) % 10**9}"
    write_index(indexes_of(zoo), zoo, name)
    return name


def test_the_nearest_are_those_of_a_comparison_with_all(searches: Transport, index: str) -> None:
    answer = searches.search(image(99), index=index, k=5)
    assert answer.keys() == {"model", "version", "index", "metric", "items", "results", "timing"}
    assert (answer["model"], answer["index"], answer["metric"], answer["items"]) == (
        "vectors",
        index,
        "euclidean",
        COUNT,
    )
    every = np.concatenate([vectors(example(1, seed)) for seed in range(COUNT)])
    wanted = np.linalg.norm(every - vectors(example(1, 99)), axis=1)
    assert [each["name"] for each in answer["results"]] == [f"seed {i}" for i in np.argsort(wanted)[:5]]
    np.testing.assert_allclose([each["distance"] for each in answer["results"]], np.sort(wanted)[:5], rtol=1e-5)
    assert len(searches.search(image(99), index=index)["results"]) == 10


def test_thumbnails_come_if_they_are_wanted(searches: Transport, index: str) -> None:
    [found] = searches.search(image(3), index=index, k=1, thumbnails=True)["results"]
    assert (found["name"], b64decode(found["thumbnail"])) == ("seed 3", thumbnail(3))
    [found] = searches.search(image(3), index=index, k=1)["results"]
    assert not found.get("thumbnail")


def test_what_is_added_is_found_and_what_is_removed_is_not(searches: Transport, index: str) -> None:
    assert searches.search(image(50), index=index, k=1)["results"][0]["distance"] > 0
    added = searches.add(image(50), index=index, name="fifty / fünfzig")
    assert (added["name"], added.get("replaced", False), added["items"]) == ("fifty / fünfzig", False, COUNT + 1)
    [found] = searches.search(image(50), index=index, k=1, thumbnails=True)["results"]
    assert (found["name"], found["distance"]) == ("fifty / fünfzig", 0)
    assert b64decode(found["thumbnail"]).startswith(b"\x89PNG")
    assert searches.add(image(51), index=index, name="fifty / fünfzig")["replaced"]
    assert searches.search(image(50), index=index, k=1)["results"][0]["distance"] > 0
    removed = searches.remove(index=index, name="fifty / fünfzig")
    assert (removed["removed"], removed["items"]) == (True, COUNT)
    assert not searches.remove(index=index, name="fifty / fünfzig")["removed"]
    assert searches.search(image(51), index=index, k=1)["results"][0]["distance"] > 0


def test_many_callers_add_and_search_at_the_same_time(searches: Transport, index: str) -> None:
    def add(seed: int) -> str:
        searches.add(image(seed), index=index, name=f"new {seed}")
        return str(searches.search(image(seed), index=index, k=1)["results"][0]["name"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(add, range(100, 132))) == [f"new {seed}" for seed in range(100, 132)]
    assert searches.search(image(0), index=index)["items"] == COUNT + 32


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"index": "none"}, "NOT_FOUND", "no index 'none'"),
        ({"index": "../zoo"}, "INVALID_ARGUMENT", "index is '../zoo'; allowed are 1 to 64 letters"),
        ({"k": 1001}, "INVALID_ARGUMENT", "k is 1001; 1 to 1000 are allowed"),
        ({"k": 101, "thumbnails": True}, "INVALID_ARGUMENT", "k is 101; with thumbnails 1 to 100 are allowed"),
        ({"model": "tiny"}, "INVALID_ARGUMENT", "model is 'tiny'; index 'some' was built with 'vectors'"),
        ({"version": "2"}, "INVALID_ARGUMENT", "version is '2'; index 'some' was built with '1'"),
    ],
)
def test_a_refusal_says_what_came_and_what_is_allowed(
    searches: Transport, fields: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(Refused) as caught:
        searches.search(image(0), **({"index": "some"} | fields))
    assert caught.value.code == code
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "7"}, "was built with vectors/7"),
        ({"model": "gone"}, "was built with gone/1"),
        ({"model": "tiny"}, "was built with tiny/1: model 'tiny' does not embed images"),
        ({"sha256": "0" * 64}, "was built with another graph of vectors/1: sha256 000000000000..., and the served one"),
        ({"dimension": 17}, "is damaged: its dimension is 17, that of vectors/1 is 16"),
    ],
)
def test_an_index_of_another_model_is_refused(
    searches: Transport, zoo: Path, changes: dict[str, Any], words: str
) -> None:
    name = f"other-{abs(hash(str(changes))) % 10**9}"
    with suppress(FileExistsError):  # of the other transport
        write_index(indexes_of(zoo), zoo, name, **changes)
    with pytest.raises(Refused) as searched:
        searches.search(image(0), index=name)
    with pytest.raises(Refused) as added:
        searches.add(image(0), index=name, name="x")
    for caught in (searched, added):
        assert caught.value.code == "FAILED_PRECONDITION"
        assert words in caught.value.message


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb"])
def test_an_item_needs_a_name_of_one_line(searches: Transport, name: str) -> None:
    with pytest.raises(Refused, match="name has") as added:
        searches.add(image(0), index="some", name=name)
    with pytest.raises(Refused, match="name has") as removed:
        searches.remove(index="some", name=name)
    assert added.value.code == removed.value.code == "INVALID_ARGUMENT"


def test_a_page_of_another_site_changes_no_index(server: Server, index: str) -> None:
    files: dict[str, Any] = {"image": image(0), "index": (None, index), "name": (None, "x")}
    response = httpx.post(f"{server.http}/v1/search/add", files=files, headers={"origin": "https://evil.example"})
    assert response.status_code == 403
    assert "may change models or search indexes" in response.json()["error"]
    assert httpx.post(f"{server.http}/v1/search/add", files=files).status_code == 200


@pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS)
def test_every_worker_sees_a_write_and_without_the_setting_none_is_made(
    transport: Callable[[Server], Transport], start: StartServer, zoo: Path, tmp_path: Path
) -> None:
    write_index(tmp_path / "indexes", zoo)
    server = start(indexes=tmp_path / "indexes", workers=WORKERS, max_queue_rows=1000)
    with closing(transport(server)) as searches, pytest.raises(Refused, match="LECTORIUM_INDEX_WRITES=true to allow"):
        searches.add(image(0), index="some", name="x")
    with closing(Store(tmp_path / "indexes/some")) as store:
        assert store.summary().items == COUNT
        for round_ in range(12):  # new connections, which come to either worker
            add(store, [Item(f"new {round_}", vectors(example(1, 200 + round_))[0], None)], 5)
            for _ in range(4):
                with closing(transport(server)) as searches:
                    found = searches.search(image(200 + round_), index="some", k=1)["results"][0]
                assert (found["name"], found["distance"]) == (f"new {round_}", 0)


def test_an_acknowledged_write_survives_sigkill(start: StartServer, zoo: Path, tmp_path: Path) -> None:
    write_index(tmp_path / "indexes", zoo)
    server = start(indexes=tmp_path / "indexes", index_writes=True)
    acknowledged: list[str] = []
    enough = threading.Event()

    def write(first: int) -> None:
        with httpx.Client(base_url=server.http, timeout=TIMEOUT_S) as client:
            for seed in range(first, first + 200):
                fields = {"index": (None, "some"), "name": (None, f"new {seed}")}
                try:
                    response = client.post("/v1/search/add", files={"image": image(seed), **fields})
                except httpx.HTTPError:
                    return
                assert response.status_code == 200, response.text
                acknowledged.append(f"new {seed}")
                if len(acknowledged) >= 20:
                    enough.set()

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(write, first) for first in (1000, 2000, 3000)]
        assert enough.wait(TIMEOUT_S)
        server.process.send_signal(signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL
        for each in writing:
            each.result()
    with closing(Store(tmp_path / "indexes/some")) as store:
        assert [name for name in acknowledged if not store.has(name)] == []
        assert len(acknowledged) <= store.summary().items - COUNT <= len(acknowledged) + 3
