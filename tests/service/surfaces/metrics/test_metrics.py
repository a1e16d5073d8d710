"""The metrics as a scraper sees them."""

from contextlib import closing
from typing import NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.surfaces.http.disconnect import Message
from service.surfaces.metrics.page import MetricsPage
from tests.packages import example
from tests.pictures import png
from tests.service.surfaces.asgi import Receive, body
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, TENSOR_TRANSPORTS
from tests.service.surfaces.transports import Refused, infer_path, tensor
from tests.serving import Server, eventually

SURFACES = {"http": "http", "vision_grpc": "vision_grpc", "rest_binary": "oip_rest", "grpc_raw": "oip_grpc"}
FAMILIES = {
    "lectorium_request_duration_seconds": "histogram",
    "lectorium_decode_duration_seconds": "histogram",
    "lectorium_queue_duration_seconds": "histogram",
    "lectorium_compute_duration_seconds": "histogram",
    "lectorium_first_emission_seconds": "histogram",
    "lectorium_emissions": "counter",
    "lectorium_batch_rows": "histogram",
    "lectorium_queue_rows": "gauge",
    "lectorium_in_flight_requests": "gauge",
    "lectorium_rejections": "counter",
    "lectorium_reads": "counter",
    "lectorium_model_provider_info": "gauge",
}


class Ask(NamedTuple):
    """One request, good or bad."""

    way: str
    model: str = "tiny"
    version: str = ""
    image: bytes = png()
    rows: int = 1


def ask(server: Server, asked: Ask) -> None:
    if asked.way in IMAGE_TRANSPORTS:
        with closing(IMAGE_TRANSPORTS[asked.way](server)) as images:
            images.classify(asked.image, model=asked.model, version=asked.version)
    else:
        with closing(TENSOR_TRANSPORTS[asked.way](server)) as tensors:
            tensors.infer(asked.model, [tensor(example(asked.rows))], version=asked.version)


def series(server: Server) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Every name and set of labels there is."""
    families = text_string_to_metric_families(httpx.get(server.metrics).raise_for_status().text)
    return {(s.name, tuple(sorted(s.labels.items()))) for family in families for s in family.samples}


@pytest.mark.parametrize("address", ["metrics", "http"])
def test_both_ports_show_every_family_with_its_type_and_a_description(server: Server, address: str) -> None:
    for way in SURFACES:
        ask(server, Ask(way))
    url = server.metrics if address == "metrics" else server.http + "/metrics"
    response = httpx.get(url).raise_for_status()
    assert response.headers["content-type"].startswith("text/plain; version=")
    found = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert {name: found[name].type for name in FAMILIES} == FAMILIES
    assert all(found[name].documentation for name in FAMILIES)
    ours = {name.removesuffix("_created") for name in found if name.startswith("lectorium")}
    assert ours == FAMILIES.keys()


@pytest.mark.parametrize("way", SURFACES)
def test_an_answer_is_counted_under_its_model_version_surface_and_code(server: Server, way: str) -> None:
    stage = {"model": "tiny", "version": "1", "surface": SURFACES[way]}
    counted = {
        "lectorium_request_duration_seconds_count": {**stage, "code": "OK"},
        "lectorium_queue_duration_seconds_count": stage,
        "lectorium_compute_duration_seconds_count": stage,
        "lectorium_decode_duration_seconds_count": stage,
        "lectorium_batch_rows_count": {"model": "tiny", "version": "1"},
    }
    before = {name: server.metric(name, **labels) for name, labels in counted.items()}
    ask(server, Ask(way, version="1"))
    gained = {name: server.metric(name, **labels) - before[name] for name, labels in counted.items()}
    assert gained.pop("lectorium_decode_duration_seconds_count") == (way in IMAGE_TRANSPORTS)
    assert set(gained.values()) == {1}


@pytest.mark.parametrize("way", SURFACES)
def test_durations_are_seconds_and_the_stages_lie_within_the_request(server: Server, way: str) -> None:
    names = [f"lectorium_{stage}_duration_seconds_sum" for stage in ("request", "queue", "compute", "decode")]
    labels = {"model": "slow", "surface": SURFACES[way]}
    before = [server.metric(name, **labels) for name in names]
    ask(server, Ask(way, "slow"))
    request, *stages = [server.metric(name, **labels) - start for name, start in zip(names, before, strict=True)]
    assert 0.001 < request < 10
    assert sum(stages) <= request
    assert stages[1] > 0.001, "the slow model computes for milliseconds"


def test_batch_rows_sum_up_to_the_rows_sent(server: Server) -> None:
    before = server.metric("lectorium_batch_rows_sum", model="tiny", version="2")
    ask(server, Ask("grpc_raw", rows=21))
    assert server.metric("lectorium_batch_rows_sum", model="tiny", version="2") == before + 21


def test_the_queue_of_every_model_and_version_is_shown(server: Server) -> None:
    shown = {labels for name, labels in series(server) if name == "lectorium_queue_rows"}
    models = {"tiny", "slow", "seeing", "captioner", "colours", "greys", "letters", "vectors", "echo", "half"}
    assert {dict(labels)["model"] for labels in shown} == models
    assert (("model", "tiny"), ("version", "1")) in shown
    assert (("model", "tiny"), ("version", "2")) in shown


REJECTIONS = {
    "invalid_argument": (Ask("rest_binary", "echo"), "INVALID_ARGUMENT"),
    "invalid_argument over gRPC": (Ask("grpc_raw", "echo"), "INVALID_ARGUMENT"),
    "invalid_image": (Ask("http", image=b"no image"), "INVALID_ARGUMENT"),
    "invalid_image over gRPC": (Ask("vision_grpc", image=b"no image"), "INVALID_ARGUMENT"),
    "too_large": (Ask("http", image=bytes(2 << 20)), "INVALID_ARGUMENT"),
    "unknown_model": (Ask("http", "nope"), "NOT_FOUND"),
    "unknown_model over gRPC": (Ask("vision_grpc", "nope"), "NOT_FOUND"),
}


@pytest.mark.parametrize("case", REJECTIONS)
def test_a_rejection_is_counted_once_by_its_reason_and_code(server: Server, case: str) -> None:
    asked, code = REJECTIONS[case]
    reason, surface = case.split()[0], SURFACES[asked.way]
    rejected = {"surface": surface, "reason": reason}
    before = server.metric("lectorium_rejections_total", **rejected)
    timed = server.metric("lectorium_request_duration_seconds_count", surface=surface, code=code)
    with pytest.raises(Refused):
        ask(server, asked)
    assert server.metric("lectorium_rejections_total", **rejected) == before + 1
    assert server.metric("lectorium_request_duration_seconds_count", surface=surface, code=code) == timed + 1


def test_nothing_is_in_flight_once_all_are_answered(server: Server) -> None:
    for way in SURFACES:
        ask(server, Ask(way))
    assert eventually(lambda: server.metric("lectorium_in_flight_requests") == 0)
    assert server.metric("lectorium_queue_rows") == 0


def test_a_strangers_names_and_paths_make_no_series(server: Server) -> None:
    def send(name: str) -> None:
        for way in SURFACES:
            for model, version in ((name, ""), ("tiny", name), (name, name)):
                with pytest.raises(Refused):
                    ask(server, Ask(way, model, version))
        for url in (server.http, server.rest):
            for path in (f"/{name}", f"/v1/models/{name}", f"/v2/models/{name}", f"/v2/models/{name}/ready"):
                assert httpx.get(url + path).status_code == 404
        assert httpx.post(server.rest + infer_path(name), content=name.encode()).status_code == 404

    send("stranger-0")
    before = series(server)
    for i in range(1, 4):
        send(f"stranger-{i}")
    assert series(server) == before
    for url in (server.metrics, server.http + "/metrics"):
        assert "stranger" not in httpx.get(url).text


async def test_the_pages_headers_are_in_lower_case_as_asgi_has_them() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": []}
    await MetricsPage()(scope, Receive(body(b"")), send)
    names = [name for name, _ in sent[0]["headers"]]
    assert b"content-type" in names
    assert names == [name.lower() for name in names]
