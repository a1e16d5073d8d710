"""Ports that workers share, and nobody else."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import pytest

from service.config import Config
from service.errors import InvalidConfig
from service.surfaces.process.ports import SURFACES, bound, check_free, held
from tests.serving import HOST, free_ports


@pytest.fixture
def config() -> Config:
    ports = dict(zip(SURFACES, free_ports(4), strict=True))
    return Config(host=HOST, workers=2, **ports)


@contextmanager
def workers(port: int) -> Iterator[list[socket.socket]]:
    """Two that listen on the port."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(bound("REST", HOST, port, share=True)[0]) for _ in range(2)]
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


def tried(config: Config) -> AbstractContextManager[None]:
    """As one process does it."""
    check_free(config)
    return nullcontext()


@pytest.mark.parametrize("tries", [held, tried])
@pytest.mark.parametrize("port", SURFACES)
def test_a_port_with_a_listener_is_refused_by_the_name_of_its_setting(
    config: Config, port: str, tries: Callable[[Config], AbstractContextManager[None]]
) -> None:
    number = getattr(config, port)
    said = f"{SURFACES[port]} cannot listen on {HOST}:{number}: Address already in use; LECTORIUM_{port.upper()} sets"
    with socket.create_server((HOST, number)), pytest.raises(InvalidConfig, match=said), tries(config):
        pass


def test_ports_that_were_tried_are_free(config: Config) -> None:
    check_free(config)
    for number in config.ports.values():
        socket.create_server((HOST, number)).close()


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


def test_every_address_is_that_of_ipv4_too(config: Config) -> None:
    every = config.model_copy(update={"host": "::"})
    said = rf"REST cannot listen on \[::\]:{config.rest_port}: Address already in use"
    with socket.create_server((HOST, config.rest_port)), pytest.raises(InvalidConfig, match=said):
        check_free(every)
    with held(every), pytest.raises(InvalidConfig, match="LECTORIUM_HTTP_PORT sets another"):
        check_free(config)


@pytest.mark.parametrize(("host", "words"), [("192.0.2.1", "Cannot assign"), ("nowhere.invalid", "nowhere.invalid")])
def test_an_address_that_is_not_ours_is_refused(config: Config, host: str, words: str) -> None:
    with (
        pytest.raises(InvalidConfig, match=f"{words}.*; LECTORIUM_HOST sets another"),
        held(config.model_copy(update={"host": host})),
    ):
        pass
