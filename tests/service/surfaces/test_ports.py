"""Ports that workers share, and nobody else."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from service.config import Config
from service.errors import InvalidConfig
from service.surfaces.ports import held, shared
from tests.serving import HOST, free_ports

NAMES = {"http_port": "HTTP", "rest_port": "REST", "grpc_port": "gRPC", "metrics_port": "metrics"}


@pytest.fixture
def config() -> Config:
    ports = dict(zip(NAMES, free_ports(4), strict=True))
    return Config(host=HOST, workers=2, **ports)


@contextmanager
def workers(port: int) -> Iterator[list[socket.socket]]:
    """Two that listen on the port."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(shared("REST", HOST, port)[0]) for _ in range(2)]
        for listener in listeners:
            listener.listen()
            listener.settimeout(0)
        yield listeners


def accepted(listener: socket.socket) -> int:
    """How many connections wait for this listener."""
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_workers_listen_on_a_held_port_and_are_dealt_its_connections(config: Config) -> None:
    with held(config), workers(config.rest_port) as listeners, ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection((HOST, config.rest_port)))
        counts = [accepted(listener) for listener in listeners]
    assert sum(counts) == 100
    assert min(counts) > 0


@pytest.mark.parametrize("port", NAMES)
def test_a_port_with_a_listener_is_refused_by_name(config: Config, port: str) -> None:
    number = getattr(config, port)
    with (
        socket.create_server((HOST, number)),
        pytest.raises(InvalidConfig, match=f"{NAMES[port]} cannot listen on {HOST}:{number}: Address already in use"),
        held(config),
    ):
        pass


def test_a_held_port_is_refused_to_other_workers_before_ours_listen(config: Config) -> None:
    with held(config), pytest.raises(InvalidConfig, match="cannot listen"), held(config):
        pass


def test_a_held_port_is_refused_to_any_server_before_ours_listen(config: Config) -> None:
    with held(config), pytest.raises(OSError, match="in use"), socket.create_server((HOST, config.grpc_port)):
        pass


def test_a_port_whose_last_connections_linger_is_free(config: Config) -> None:
    with socket.create_server((HOST, config.rest_port)) as server:
        client = socket.create_connection((HOST, config.rest_port))
        server.accept()[0].close()  # who closes first keeps the connection for a minute
        client.close()
    with held(config), workers(config.rest_port):
        pass


def test_one_port_for_two_purposes_is_refused(config: Config) -> None:
    twice = config.model_copy(update={"grpc_port": config.rest_port})
    with pytest.raises(InvalidConfig, match="gRPC cannot listen"), held(twice):
        pass


@pytest.mark.parametrize(("host", "words"), [("192.0.2.1", "Cannot assign"), ("nowhere.invalid", "nowhere.invalid")])
def test_an_address_that_is_not_ours_is_refused(config: Config, host: str, words: str) -> None:
    with pytest.raises(InvalidConfig, match=words), held(config.model_copy(update={"host": host})):
        pass
