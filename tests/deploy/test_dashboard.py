import math
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.deploy import dashboard
from tests.deploy.callers import MODEL, Callers, Outcome
from tests.serving import free_ports

pytestmark = pytest.mark.deploy
SHIPPED = dashboard.DEPLOY / "prometheus/prometheus.yml"
LOAD_S = 30
REQUESTS = "lectorium_request_duration_seconds_count"


class Prometheus:
    """A real one, scraping the service of the compose file as the shipped configuration says."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str | float) -> Any:
        """The data of an answer of the API; an error of the query is an error here."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10, trust_env=False)
        body = answer.json()
        assert body["status"] == "success", body
        return body["data"]

    def finite_values(self, expression: str, start: float, end: float) -> list[float]:
        """The points that a panel over this time would draw."""
        data = self.get("query_range", query=expression, start=start, end=end, step=dashboard.SCRAPE_S)
        points = [float(value) for series in data["result"] for _, value in series["values"]]
        return [point for point in points if math.isfinite(point)]


class Load:
    """When the load ran, and what its callers saw."""

    def __init__(self, start: float, end: float, outcomes: Counter[Outcome]) -> None:
        self.start = start
        self.end = end
        self.outcomes = outcomes


@pytest.fixture(scope="module")
def prometheus(composed_callers: Callers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    shipped = SHIPPED.read_text("utf-8")
    assert "lectorium:8002" in shipped
    config = folder / "prometheus.yml"
    config.write_text(shipped.replace("lectorium:8002", composed_callers.metrics.removeprefix("http://")))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stderr=log)
    try:
        await_page(f"http://{address}/-/ready")
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def load(prometheus: Prometheus, composed_callers: Callers) -> Load:
    # Two scrapes first: a rate needs to see a counter before it grows.
    time.sleep(2 * dashboard.SCRAPE_S)
    start = time.time()
    outcomes = composed_callers.load(LOAD_S)
    end = time.time()
    time.sleep(dashboard.SCRAPE_S)
    return Load(start, end, outcomes)


def test_shipped_configuration_passes_promtool() -> None:
    subprocess.run(["promtool", "check", "config", str(SHIPPED)], check=True)


def test_target_is_up(prometheus: Prometheus, load: Load) -> None:
    (target,) = prometheus.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_load_reached_every_surface_with_the_expected_outcomes(load: Load) -> None:
    print(load.outcomes)
    assert set(load.outcomes) == {
        ("http", "OK"),
        ("http", "INVALID_ARGUMENT"),
        ("vision_grpc", "OK"),
        ("vision_grpc", "INVALID_ARGUMENT"),
        ("oip_rest", "OK"),
        ("oip_rest", "NOT_FOUND"),
        ("oip_grpc", "OK"),
        ("oip_grpc", "NOT_FOUND"),
    }


def test_prometheus_counted_what_the_callers_saw(prometheus: Prometheus, load: Load) -> None:
    def counted(at: float) -> Counter[Outcome]:
        data = prometheus.get("query", query=f"sum by (surface, code) ({REQUESTS})", time=at)
        samples = ((s["metric"], float(s["value"][1])) for s in data["result"])
        return Counter({(labels["surface"], labels["code"]): int(value) for labels, value in samples})

    assert counted(load.end + dashboard.SCRAPE_S) - counted(load.start) == load.outcomes


@pytest.mark.parametrize("query", dashboard.queries(), ids=str)
@pytest.mark.parametrize(("model", "surface"), [(".*", ".*"), (MODEL, "http"), (f"({MODEL}|x)", "(http|oip_grpc)")])
def test_panel_shows_values(
    prometheus: Prometheus, load: Load, query: dashboard.Query, model: str, surface: str
) -> None:
    expression = dashboard.filled(query.expression, model, surface)
    assert prometheus.finite_values(expression, load.start, load.end) != []


@pytest.mark.parametrize(("name", "query"), dashboard.variables().items())
def test_variable_offers_values(prometheus: Prometheus, load: Load, name: str, query: str) -> None:
    metric, label = query.removeprefix("label_values(").removesuffix(")").split(", ")
    assert label == name
    assert prometheus.get(f"label/{label}/values", **{"match[]": metric}) != []


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = dashboard.JSON["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def await_page(url: str) -> None:
    for _ in range(200):
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(url)
