"""What `/metrics` says of models that have left: nothing, once their last request has ended."""

import shutil
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bare_packages import adder, write_bare
from tests.packages import example, write_package
from tests.service.surfaces.oip.repository_calls import RestRepository
from tests.service.surfaces.transports import Grpc, Rest, tensor
from tests.serving import Server, eventually

pytestmark = pytest.mark.server

LOADS = 50


def versions(server: Server, model: str) -> dict[str, int]:
    """How many series there are of each version of the model."""
    found: dict[str, int] = {}
    for family in text_string_to_metric_families(httpx.get(server.metrics).text):
        for sample in family.samples:
            if sample.labels.get("model") == model:
                found[sample.labels["version"]] = found.get(sample.labels["version"], 0) + 1
    return found


def test_fifty_loads_and_unloads_leave_no_series_behind(tmp_path: Path) -> None:
    write_package(tmp_path / "zoo")
    x = tensor(np.zeros((1, 4), "f4"), "x")
    graph = adder().SerializeToString()
    with (
        Server(tmp_path / "zoo", tmp_path / "home", model_control="explicit") as server,
        closing(Rest(server)) as rest,
        closing(Grpc(server)) as grpc,
    ):
        models = RestRepository(rest)
        rest.infer("tiny", [tensor(example(1))])
        kept = versions(server, "tiny")
        for version in range(1, LOADS + 1):
            models.load("own", {f"file:{version}/model.onnx": graph}, config="{}")
            for oip in (rest, grpc):
                oip.infer("own", [x])
        # The last one has as many as each of those before it had.
        assert eventually(lambda: list(versions(server, "own")) == [str(LOADS)])
        assert versions(server, "own")[str(LOADS)] > 50
        models.unload("own")
        assert eventually(lambda: versions(server, "own") == {})
        assert versions(server, "tiny") == kept


def test_a_version_that_is_loaded_anew_keeps_its_series(tmp_path: Path) -> None:
    write_package(tmp_path / "zoo")
    with Server(tmp_path / "zoo", tmp_path / "home", model_control="explicit") as server, closing(Rest(server)) as rest:
        for _ in range(3):
            rest.infer("tiny", [tensor(example(1))])
            RestRepository(rest).load("tiny")
        assert server.metric("lectorium_request_duration_seconds_count", model="tiny") == 3


def test_the_metrics_of_all_workers_together_forget_a_model_too(tmp_path: Path) -> None:
    write_package(tmp_path / "zoo")
    write_bare(tmp_path / "zoo", adder(), "own")
    with Server(tmp_path / "zoo", tmp_path / "home", workers=2, model_control="poll", poll_s=0.05) as server:
        for _ in range(4):  # over a connection each, so that both workers are met
            with closing(Rest(server)) as rest:
                rest.infer("own", [tensor(np.zeros((1, 4), "f4"), "x")])
        assert versions(server, "own")
        shutil.rmtree(tmp_path / "zoo/own")
        assert eventually(lambda: versions(server, "own") == {})
