import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.deploy.callers import Callers
from tests.deploy.containers import Container, running
from tests.serving import free_ports

READY_S = 30


def callers_of(container: Container) -> Callers:
    return Callers(*(container.port(port) for port in (3000, 8000, 8001, 8002)))


@pytest.fixture(scope="session")
def container() -> Iterator[Container]:
    """A running service, shared by the tests that leave it as it was."""
    with running() as container:
        yield container


@pytest.fixture(scope="session")
def callers(container: Container) -> Iterator[Callers]:
    callers = callers_of(container)
    callers.await_ready(READY_S)
    yield callers
    callers.close()


@pytest.fixture(scope="session")
def composed() -> Iterator[Container]:
    """The service as the compose file defines it, on free ports so that a running one is not in the way."""
    names = ("HTTP", "REST", "GRPC", "METRICS")
    ports = zip(names, free_ports(len(names)), strict=True)
    environment = os.environ | {f"LECTORIUM_{name}_PORT": str(port) for name, port in ports}
    compose = ["podman-compose", "--project-name", "lectorium-test", "--file", "deploy/compose.yaml"]
    subprocess.run([*compose, "up", "--detach", "--no-build", "lectorium"], env=environment, check=True)
    try:
        yield Container("lectorium-test_lectorium_1")
    finally:
        subprocess.run([*compose, "down", "--volumes"], env=environment, check=True)


@pytest.fixture(scope="session")
def composed_callers(composed: Container) -> Iterator[Callers]:
    callers = callers_of(composed)
    callers.await_ready(READY_S)
    yield callers
    callers.close()
