import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.deploy.callers import MODEL, Callers, outcome_of
from tests.deploy.conftest import READY_S, callers_of
from tests.deploy.containers import Container, engine, running

pytestmark = pytest.mark.deploy


def test_http_reads_a_seven(callers: Callers) -> None:
    answer = callers.classify_http().raise_for_status().json()
    assert (answer["model"], answer["labels"][0]["label"]) == (MODEL, "7")


def test_vision_grpc_reads_a_seven(callers: Callers) -> None:
    answer = callers.classify_grpc()
    assert (answer.model, answer.labels[0].label) == (MODEL, "7")


def test_oip_rest_reads_a_seven(callers: Callers) -> None:
    answer = callers.infer_rest().raise_for_status().json()
    assert int(np.argmax(answer["outputs"][0]["data"])) == 7


def test_oip_grpc_reads_a_seven(callers: Callers) -> None:
    answer = callers.infer_grpc()
    assert int(np.argmax(np.frombuffer(answer.raw_output_contents[0], np.float32))) == 7


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/models", "/metrics", "/"])
def test_http_port_answers(callers: Callers, path: str) -> None:
    assert callers.client.get(callers.http + path, follow_redirects=True).status_code == 200


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2", f"/v2/models/{MODEL}/ready"])
def test_rest_port_answers(callers: Callers, path: str) -> None:
    assert callers.client.get(callers.rest + path).status_code == 200


def test_grpc_health_is_serving(callers: Callers) -> None:
    check = callers.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    answer = check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_grpc_reflection_names_the_services(callers: Callers) -> None:
    services = ProtoReflectionDescriptorDatabase(callers.channel).get_services()
    assert {"inference.GRPCInferenceService", "lectorium.v1.Vision"} <= set(services)


def test_engines_health_check_passes(container: Container, callers: Callers) -> None:
    engine("healthcheck", "run", container.name)


def test_health_check_fails_where_nothing_listens(container: Container, callers: Callers) -> None:
    with pytest.raises(RuntimeError, match="exit 1"):
        engine("exec", "--env=LECTORIUM_REST_PORT=9", container.name, "python", "/opt/lectorium/healthcheck.py")


def test_unknown_model_is_the_callers_error(callers: Callers) -> None:
    assert callers.infer_rest("no-such-model").status_code == 404
    with pytest.raises(grpc.RpcError) as caught:
        callers.infer_grpc("no-such-model")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_service_is_ready_on_all_ports_at_once() -> None:
    with running() as container:
        callers = callers_of(container)
        callers.await_ready(READY_S)
        outcomes = [outcome_of(call) for call in (callers.classify_http, callers.classify_grpc, callers.infer_grpc)]
        callers.close()
    assert outcomes == ["OK"] * 3
