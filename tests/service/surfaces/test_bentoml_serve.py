"""`bentoml serve` and `bentoml build`, as their users run them, without a network."""

import asyncio
import gc
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import bentoml
import httpx
import pytest
from packaging.requirements import Requirement
from prometheus_client.parser import text_string_to_metric_families

from tests.needs import needs
from tests.packages import example
from tests.pictures import png
from tests.search_indexes import indexes_of
from tests.service.surfaces.bento_server import BENTOML, ROOT, BentoServer, environment
from tests.service.surfaces.test_bentoml_service import ASKED
from tests.serving import MAX_REQUEST_BYTES, Server, eventually

SERVICE = "service.bento:Lectorium"
# Of models/zoo: one of each kind that a Bento may hold.
LOADED = {"model_control": "explicit", "load_models": "lenet5,language-gru"}
# Images in one call: the slow model takes seconds for them.
MANY = 400
REQUESTS = "lectorium_request_duration_seconds_count"


@pytest.fixture(scope="module")
@needs("server")
def bento(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BentoServer]:
    home = tmp_path_factory.mktemp("bento") / "home"
    limits: dict[str, Any] = {"max_request_bytes": MAX_REQUEST_BYTES, "max_images": MANY}
    indexes: dict[str, Any] = {"indexes": indexes_of(zoo), "index_writes": True}
    with BentoServer(SERVICE, home, repository=zoo, default_models="classify=tiny", **limits, **indexes) as bento:
        yield bento


def test_bentomls_client_asks_every_task(bento: BentoServer, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(png())
    answers = asked_by_bentomls_client(
        bento.http,
        classify={"image": image, "model": "tiny", "top_k": 1},
        classify_batch={"images": [image, image]},
        caption={"image": image, "max_words": 3},
        caption_stream={"image": image, "max_words": 3},
        classify_text={"text": "one", "top_k": 2},
        classify_text_batch={"texts": ["one", "two"]},
        embed={"image": image, "model": "vectors", "normalize": True},
        embed_batch={"images": [image, image], "model": "vectors"},
        segment={"image": image, "output": "statistics,polygons"},
        segment_batch={"images": [image, image], "output": "overlay", "opacity": 0.25},
        segment_tiles={"image": image, "overlap": 1},
        generate={"count": 2, "seed": 1},
        generate_steps={"count": 2, "seed": 1, "steps": 4, "every": 1},
        search={"image": image, "index": "some", "k": 3},
        search_add={"image": image, "index": "some", "name": "seed 1"},
        search_remove={"index": "some", "name": "nobody"},
    )
    assert (answers["classify"]["model"], len(answers["classify"]["labels"])) == ("tiny", 1)
    assert len(answers["classify_batch"]["results"]) == 2
    words = answers["caption"]["captions"][0]["text"].split()
    assert "".join(answers["caption_stream"]).count("event: word\n") == len(words) > 0
    assert answers["classify_text"]["model"] == "letters"
    assert len(answers["classify_text_batch"]["results"]) == 2
    assert sum(value**2 for value in answers["embed"]["embedding"]) == pytest.approx(1, abs=1e-4)
    assert len(answers["embed_batch"]["results"]) == 2
    assert sum(each["pixels"] for each in answers["segment"]["classes"]) == example(1).size
    assert "".join(answers["segment_tiles"]).count("event: tile\n") == 1
    assert all(result["overlay"] for result in answers["segment_batch"]["results"])
    assert len(answers["generate"]["images"]) == 2
    assert "".join(answers["generate_steps"]).count("event: preview\n") == 3
    assert len(answers["search"]["results"]) == 3
    assert (answers["search_add"]["replaced"], answers["search_remove"]["removed"]) == (True, False)


def asked_by_bentomls_client(url: str, **asked: dict[str, Any]) -> dict[str, Any]:
    """What each method of the client returns; of a stream a list."""
    try:
        return _asked(url, asked)
    finally:
        with warnings.catch_warnings():  # the client leaves a temporary folder to the garbage collector
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def _asked(url: str, asked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    client: Any = bentoml.SyncHTTPClient(url)
    with closing(client):
        assert asked.keys() == client.endpoints.keys()
        answers = {name: getattr(client, name)(**fields) for name, fields in asked.items()}
        return {name: list(each) if isinstance(each, Iterator) else each for name, each in answers.items()}


@pytest.mark.parametrize("path", ASKED)
def test_the_answer_is_that_of_our_own_port(path: str, bento: BentoServer, server: Server) -> None:
    first, second = [
        httpx.post(url + path, **ASKED[path]).raise_for_status().json() for url in (server.http, bento.http)
    ]
    assert first.pop("timing").keys() == second.pop("timing").keys()
    assert first == second


@pytest.mark.parametrize(
    "request_",
    [
        {"files": {"image": png()}, "data": {"top_k": "0"}},
        {"files": {"image": png()}, "data": {"model": "none"}},
        {"files": {"image": b"no image"}},
        {"json": {"image": "http://127.0.0.1:9/a.png"}},
        {"content": b"x" * (2 << 20)},
        {"content": png(), "headers": {"content-type": "image/png"}, "params": {"top_k": "1"}},
    ],
)
def test_refusals_and_bare_files_are_as_on_our_own_port(
    request_: dict[str, Any], bento: BentoServer, server: Server
) -> None:
    first, second = [httpx.post(url + "/v1/classify", **request_) for url in (server.http, bento.http)]
    assert first.status_code == second.status_code
    assert first.json().get("error") == second.json().get("error")


def test_the_pages_schema_and_metrics_are_there(bento: BentoServer) -> None:
    schema = httpx.get(f"{bento.http}/schema.json").raise_for_status().json()
    assert {route["route"] for route in schema["routes"]} == {
        *ASKED,
        *(f"/v1/{task}/stream" for task in ("caption", "generate", "segment")),
    }
    models = httpx.get(f"{bento.http}/v1/models").raise_for_status().json()["models"]
    assert "tiny" in [model["name"] for model in models]
    assert "Lectorium" in httpx.get(bento.http).raise_for_status().text
    assert metric(bento, REQUESTS) > 0


async def test_a_caller_that_hangs_up_gives_its_rows_back(bento: BentoServer) -> None:
    """The slow model is asked for many rows by one who leaves."""
    pictures = [("images", png(example(1, seed)[0])) for seed in range(MANY)]
    async with httpx.AsyncClient(timeout=30) as client, asyncio.timeout(120):
        asked = asyncio.create_task(
            client.post(f"{bento.http}/v1/classify/batch", files=pictures, data={"model": "slow"})
        )
        while not metric(bento, "lectorium_queue_rows", model="slow"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        asked.cancel()
        await asyncio.wait([asked])
    assert asked.cancelled()
    assert eventually(lambda: metric(bento, REQUESTS, model="slow", code="CANCELLED") == 1)


def metric(bento: BentoServer, name: str, **labels: str) -> float:
    text = httpx.get(f"{bento.http}/metrics").raise_for_status().text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.mark.server
def test_sigterm_lets_the_request_inside_be_answered(zoo: Path, tmp_path: Path) -> None:
    request: dict[str, Any] = {"files": [("images", png())] * MANY, "data": {"model": "slow"}}
    settings = {"repository": zoo, "max_images": MANY, "load_models": "slow", "model_control": "explicit"}
    with BentoServer(SERVICE, tmp_path / "home", ROOT, **settings) as bento, ThreadPoolExecutor() as callers:
        asked = callers.submit(httpx.post, f"{bento.http}/v1/classify/batch", timeout=30, **request)
        assert eventually(lambda: metric(bento, "lectorium_queue_rows", model="slow") > 0)
        assert bento.stop() == 0
        assert len(asked.result().raise_for_status().json()["results"]) == MANY


@pytest.mark.server
def test_a_wrong_setting_refuses_to_serve_by_its_name(zoo: Path, tmp_path: Path) -> None:
    bento = BentoServer(SERVICE, tmp_path / "home", repository=zoo, rest_prt=8000)
    bento.process = bento.launch()
    assert bento.wait() != 0
    assert "rest_prt: no such setting" in bento.log


@pytest.fixture(scope="module")
@needs("server")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a BentoML that has built ``lectorium:1``."""
    home = tmp_path_factory.mktemp("built") / "home"
    done = subprocess.run(
        [BENTOML, "build", "--version", "1"],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return home


def test_a_bento_has_the_service_the_zoo_and_pinned_packages_without_torch(built: Path) -> None:
    folder = built / "bentoml" / "bentos" / "lectorium" / "1"
    source = folder / "src"
    assert {path.name for path in (source / "models").iterdir()} == {"zoo"}
    assert (source / "models" / "zoo" / "lenet5" / "1" / "model.onnx").is_file()
    assert (source / "protos" / "open_inference_pb2.py").is_file()
    assert not [path for path in source.rglob("*") if path.name in ("training", "tests", "__pycache__")]
    pinned = (folder / "env" / "python" / "requirements.txt").read_text()
    assert "onnxruntime==" in pinned
    assert "torch" not in pinned


def test_what_a_bento_pins_is_what_the_tests_run_with() -> None:
    """And it is all that the service depends on: `make lock` writes both files."""
    locked = set((ROOT / "requirements.lock").read_text().splitlines())
    pinned = {line for line in (ROOT / "requirements-serving.lock").read_text().splitlines() if line}
    # Only here is it another's dependency on this kind of Python alone.
    assert {line for line in pinned - locked if "pypy" not in line} == set()
    names = {line.partition("==")[0] for line in pinned}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {Requirement(each).name for each in wanted} <= names


def test_a_bento_runs_its_own_code(built: Path, tmp_path: Path) -> None:
    load = "import bentoml, sys; bentoml.load('lectorium:1'); import service"
    script = f"{load}; print(service.__file__, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env=environment(built),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"{built}/bentoml/bentos/lectorium/1/src/service/__init__.py False\n", done.stderr


def test_a_bento_serves_its_own_models_by_two_workers_whose_metrics_are_added_up(built: Path, tmp_path: Path) -> None:
    with BentoServer("lectorium:1", built, tmp_path, workers=2, **LOADED) as bento:
        for _ in range(12):  # each on a connection of its own, which the kernel deals to either
            answer = httpx.post(
                f"{bento.http}/v1/classify", files={"image": (ROOT / "tests/data/seven.png").read_bytes()}
            )
            assert answer.raise_for_status().json()["labels"][0]["label"] == "7"
        text = {"text": "Ich habe heute keine Zeit."}
        assert httpx.post(f"{bento.http}/v1/classify-text", json=text).json()["labels"][0]["label"] == "German"
        assert {metric(bento, REQUESTS, model="lenet5") for _ in range(6)} == {12}
