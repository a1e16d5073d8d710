"""Who may change what is served: nobody, the folder (poll), or requests; and what readiness says meanwhile."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.bare_packages import adder, write_bare
from tests.packages import write_package
from tests.service.surfaces.conftest import StartServer
from tests.service.surfaces.oip.repository_calls import GrpcRepository, RestRepository, states
from tests.service.surfaces.transports import Grpc, Refused, Rest
from tests.serving import Server, eventually


@pytest.mark.parametrize("control", ["none", "poll"])
def test_where_requests_do_not_control_models_they_are_refused(start: StartServer, control: str) -> None:
    server = start(model_control=control)
    with closing(Rest(server)) as rest, closing(Grpc(server)) as grpc:
        for models, code in ((RestRepository(rest), "INVALID_ARGUMENT"), (GrpcRepository(grpc), "FAILED_PRECONDITION")):
            for change in (models.load, models.unload):
                with pytest.raises(Refused, match=f"model_control is {control}; .* only if it is explicit") as refused:
                    change("tiny")
                assert refused.value.code == code
            assert {row["state"] for row in models.index()} == {"READY"}


@pytest.mark.server
def test_each_of_several_workers_follows_the_folder_and_none_takes_requests_for_all(tmp_path: Path) -> None:
    write_package(tmp_path / "zoo")
    server = Server(
        tmp_path / "zoo", tmp_path / "home", workers=2, lanes=1, intra_op=1, model_control="poll", poll_s=0.05
    )

    def ready(version: str) -> bool:
        with closing(Rest(server)) as rest:
            return rest.client.get(f"/v2/models/tiny/versions/{version}/ready").status_code == 200

    with server, closing(Rest(server)) as rest:
        write_package(tmp_path / "zoo", "tiny", 2)
        # Each asks over a connection of its own, so both workers are met.
        assert eventually(lambda: all(ready("2") for _ in range(20)))
        with pytest.raises(Refused, match="this server has 2 workers"):
            RestRepository(rest).load("tiny")


@pytest.mark.server
def test_a_polling_server_follows_its_folder(tmp_path: Path) -> None:
    write_package(tmp_path / "zoo")
    server = Server(tmp_path / "zoo", tmp_path / "home", model_control="poll", poll_s=0.05)
    with server, closing(Rest(server)) as rest:
        write_bare(tmp_path / "zoo", adder(), "own")
        write_package(tmp_path / "zoo", "tiny", 2)
        models = RestRepository(rest)
        wanted = [("own", "1"), ("tiny", "1"), ("tiny", "2")]
        assert eventually(lambda: [(row["name"], row["version"]) for row in models.index(ready=True)] == wanted)
        shutil.rmtree(tmp_path / "zoo/own")
        assert eventually(lambda: states(models, "own") == {})


@pytest.mark.server
def test_readiness_waits_for_a_model_that_was_bad_at_the_start(tmp_path: Path) -> None:
    write_package(tmp_path / "zoo")
    labels = write_package(tmp_path / "zoo", "bad") / "labels.txt"
    right = labels.read_bytes()
    labels.write_bytes(b"wrong")
    server = Server(tmp_path / "zoo", tmp_path / "home", model_control="explicit")
    server.process = server.launch()
    try:
        with closing(Rest(server)) as rest, closing(Grpc(server)) as grpc:
            assert eventually(lambda: server.answers("/livez"))
            (bad, _) = RestRepository(rest).index()
            assert (bad["state"], bad["reason"][:27]) == ("UNAVAILABLE", "bad/1/labels.txt has sha256")
            assert [rest.ready("tiny"), grpc.ready("tiny"), grpc.ready()] == [True, True, False]
            assert rest.client.get("/v2/health/ready").status_code == 400
            assert rest.client.get("/v2/models/bad/ready").status_code == 404
            unready = httpx.get(server.http + "/readyz")
            assert (unready.status_code, unready.json().keys()) == (503, {"error"})
            assert "bad" in unready.json()["error"]
            assert not serving(grpc)
            labels.write_bytes(right)
            RestRepository(rest).load("bad")
            assert [rest.ready(), grpc.ready(), rest.ready("bad"), server.answers("/readyz")] == [True] * 4
            assert eventually(lambda: serving(grpc))
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.log


def serving(grpc: Grpc) -> bool:
    """What gRPC's own health service says."""
    stub: Any = health_pb2_grpc.HealthStub(grpc.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
