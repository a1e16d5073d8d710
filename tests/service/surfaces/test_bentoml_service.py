"""BentoML's own app, which answers by itself, too, gives the answers of our routes."""

import asyncio
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.config import Config
from service.engine import Engine
from service.errors import InvalidConfig
from service.surfaces.gate import Gate
from service.surfaces.http.port import BentoMLApp
from service.tasks.registry import TASKS, endpoints
from tests.packages import example
from tests.pictures import png
from tests.search_indexes import indexes_of
from tests.serving import Server

with warnings.catch_warnings():  # its libraries use what others of them call outdated
    warnings.simplefilter("ignore")
    from service.surfaces.bentoml_host import hosted
    from service.surfaces.bentoml_service import task_service

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FILES: dict[str, Any] = {"files": {"image": ("a.png", png(), "image/png")}}
ASKED: dict[str, dict[str, Any]] = {
    "/v1/classify": {**FILES, "data": {"top_k": "1"}},
    "/v1/classify/batch": {"files": [("images", ("a.png", png(example(1, seed)[0]), "image/png")) for seed in (0, 1)]},
    "/v1/caption": {**FILES, "data": {"max_words": "3"}},
    "/v1/classify-text": {"json": {"text": "one", "top_k": 2}},
    "/v1/classify-text/batch": {"json": {"texts": ["one", "two"]}},
    "/v1/embed": {**FILES, "data": {"model": "vectors", "normalize": "true"}},
    "/v1/embed/batch": {"files": [("images", ("a.png", png(), "image/png"))], "data": {"model": "vectors"}},
    "/v1/segment": {**FILES, "data": {"output": "statistics,polygons,mask"}},
    "/v1/generate": {"json": {"count": 2, "seed": 1}},
    "/v1/search": {**FILES, "data": {"index": "some", "k": "3", "thumbnails": "true"}},
    "/v1/search/add": {**FILES, "data": {"index": "some", "name": "seed 0"}},
    "/v1/search/remove": {"json": {"index": "some", "name": "nobody"}},
    "/v1/segment/batch": {"files": [("images", ("a.png", png(), "image/png"))] * 2, "data": {"output": "rle"}},
}


@asynccontextmanager
async def bentomls_own(repository: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of BentoML's app, without our routes before it."""
    indexes = {"indexes": indexes_of(repository), "index_writes": True}
    config = Config.model_validate({"repository": repository, "default_models": "classify=tiny", **indexes})
    async with Engine(config) as engine:
        gate = Gate(engine)
        gate.open()
        app: Any = task_service(endpoints(engine, config), gate).to_asgi()
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://a") as client,
        ):
            yield client


@pytest.mark.parametrize("path", ASKED)
async def test_both_give_the_same_answer(path: str, server: Server, zoo: Path) -> None:
    async with bentomls_own(zoo) as theirs, httpx.AsyncClient(base_url=server.http) as ours:
        first, second = [
            (await client.post(path, **ASKED[path])).raise_for_status().json() for client in (ours, theirs)
        ]
    assert first.pop("timing").keys() == second.pop("timing").keys()
    assert first == second


def test_our_process_serves_without_bentoml_until_it_is_asked_for_its_schema() -> None:
    loaded = "import sys, service.surfaces.process.serving; print('bentoml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


async def test_what_asks_for_it_at_the_same_time_is_answered_by_one_app(zoo: Path) -> None:
    config = Config.model_validate({"repository": zoo, "default_models": "classify=tiny"})
    async with Engine(config) as engine:
        app = BentoMLApp(endpoints(engine, config), Gate(engine))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
            asked = [client.get(path) for path in ("/schema.json", "/static_content/swagger-ui.css", "/nothing")]
            answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert answers[0].json()["name"] == "lectorium"
    assert answers[2].json() == {"error": "no path '/nothing'"}


async def test_a_start_that_fails_leaves_no_lane_behind(zoo: Path) -> None:
    before = set(threading.enumerate())
    service = hosted(Config.model_validate({"repository": zoo, "default_models": "classify=none"}))
    with pytest.raises(InvalidConfig, match="default_models: classify is 'none'"):
        await service.inner().start()
    kept = [thread.name for thread in set(threading.enumerate()) - before]
    assert [name for name in kept if not name.startswith("uvloop")] == []  # those are the loop's, and end with it


async def test_both_stream_the_same_events(server: Server, zoo: Path) -> None:
    path, asked = "/v1/caption/stream", ASKED["/v1/caption"]
    async with bentomls_own(zoo) as theirs, httpx.AsyncClient(base_url=server.http) as ours:
        streams = [(await client.post(path, **asked)).raise_for_status() for client in (ours, theirs)]
    assert [stream.headers["content-type"].partition(";")[0] for stream in streams] == ["text/event-stream"] * 2
    first, second = [events(stream.text) for stream in streams]
    assert {"word", "answer"} == {name for name, _ in first}
    assert first == second


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The name and the JSON of each, without its timing."""
    found = []
    for event in text.strip().split("\n\n"):
        name, data = event.split("\n")
        fields = json.loads(data.removeprefix("data: "))
        fields.pop("timing", None)
        found.append((name.removeprefix("event: "), fields))
    return found


async def test_the_schema_gives_the_range_and_the_description_of_an_option(zoo: Path) -> None:
    async with bentomls_own(zoo) as theirs:
        schema = (await theirs.get("/schema.json")).raise_for_status().json()
    [classify] = [route for route in schema["routes"] if route["route"] == "/v1/classify"]
    top_k = classify["input"]["properties"]["top_k"]
    assert (top_k["type"], top_k["minimum"]) == ("integer", 1)
    assert top_k["description"].startswith("How many labels")


async def test_the_service_has_a_method_for_every_way_to_ask_a_task(zoo: Path) -> None:
    async with bentomls_own(zoo) as theirs:
        schema = (await theirs.get("/schema.json")).raise_for_status().json()
    routes = {route["route"] for route in schema["routes"]}
    assert routes == {*ASKED, "/v1/caption/stream", "/v1/segment/stream", "/v1/generate/stream"}
    assert {f"/v1/{task.name}" for task in TASKS} <= routes
