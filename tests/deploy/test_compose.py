import re
from pathlib import Path

import pytest

from tests.deploy.callers import Callers
from tests.deploy.containers import Container

pytestmark = pytest.mark.deploy
DEPLOY = Path(__file__).parents[2] / "deploy"


def test_compose_service_answers(composed_callers: Callers) -> None:
    assert composed_callers.classify_http().raise_for_status().json()["labels"][0]["label"] == "7"


def test_compose_service_is_hardened(composed: Container) -> None:
    assert composed.inspect("{{.HostConfig.ReadonlyRootfs}}") == "true"
    assert composed.inspect("{{.HostConfig.SecurityOpt}}") == "[no-new-privileges]"
    assert int(composed.inspect("{{.HostConfig.Memory}}")) == 1 << 30
    assert "CapEff:\t0000000000000000" in composed.execute("cat", "/proc/1/status")


def test_compose_service_runs_as_the_images_user(composed: Container) -> None:
    assert composed.execute("id", "-u") == "10001"


def test_every_image_is_pinned() -> None:
    images = re.findall(r"^\s+image: (\S+)$", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE)
    others = [image for image in images if image != "lectorium:latest"]
    assert len(others) == 2
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in others)


def test_grafana_knows_how_often_prometheus_scrapes() -> None:
    scrape = re.search(r"scrape_interval: (\S+)", (DEPLOY / "prometheus/prometheus.yml").read_text())
    datasource = (DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    assert scrape
    assert f"timeInterval: {scrape[1]}" in datasource


def test_files_that_compose_mounts_exist() -> None:
    mounts = re.findall(r"- (\./\S+?):/", (DEPLOY / "compose.yaml").read_text())
    assert len(mounts) == 3
    assert [mount for mount in mounts if not (DEPLOY / mount).exists()] == []
