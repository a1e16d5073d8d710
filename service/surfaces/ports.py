"""Ports that several worker processes share: the kernel deals the connections out among them (SO_REUSEPORT)."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.config import Config
from service.errors import InvalidConfig


@contextmanager
def held(config: Config) -> Iterator[None]:
    """Keep strangers off the four ports, which workers may share meanwhile.

    Raises:
        InvalidConfig: naming the port that somebody has, or the address that is not ours.
    """
    ports = {
        "HTTP": config.http_port,
        "REST": config.rest_port,
        "gRPC": config.grpc_port,
        "metrics": config.metrics_port,
    }
    with ExitStack() as stack:
        for name, port in ports.items():
            _check_free(name, config.host, port)
            for holder in shared(name, config.host, port):
                stack.enter_context(holder)
                # While a socket allows reuse and does not listen, another server's check would pass it over.
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield


def shared(name: str, host: str, port: int) -> list[socket.socket]:
    """Sockets bound to the port beside those of other workers, one for each address of ``host``; none listens yet.

    Raises:
        InvalidConfig: somebody else has the port, or the address is not ours.
    """
    return _bound(name, host, port, share=True)


def _check_free(name: str, host: str, port: int) -> None:
    for probe in _bound(name, host, port, share=False):
        with probe:
            try:
                probe.listen()
            except OSError as error:
                raise _taken(name, host, port, error) from error


def _bound(name: str, host: str, port: int, *, share: bool) -> list[socket.socket]:
    with ExitStack() as stack:
        sockets = []
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, address in dict.fromkeys(addresses):
                bound = stack.enter_context(socket.socket(family, kind, protocol))
                sockets.append(bound)
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
                if family == socket.AF_INET6:
                    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound.bind(address)
        except OSError as error:
            raise _taken(name, host, port, error) from error
        stack.pop_all()
        return sockets


def _taken(name: str, host: str, port: int, error: OSError) -> InvalidConfig:
    return InvalidConfig(f"{name} cannot listen on {host}:{port}: {error.strerror}")
