"""The four ports: tried before anything is loaded; and shared by several workers, to whom the kernel deals connections.

An address of IPv6 is in brackets wherever a port follows it. ``::`` is every address of the machine, IPv4's too.
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.config import PREFIX, Config
from service.errors import InvalidConfig

EVERY_ADDRESS = "::"
# What another port would mend; anything else is the address's fault.
_OF_PORT = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)
# By the name of their setting.
SURFACES = {"http_port": "HTTP", "rest_port": "REST", "grpc_port": "gRPC", "metrics_port": "metrics"}


def check_free(config: Config) -> None:
    """Try the four ports, which are free again afterwards.

    Raises:
        InvalidConfig: as `held`.
    """
    for setting, port in config.ports.items():
        _check_free(SURFACES[setting], config.host, port)


@contextmanager
def held(config: Config) -> Iterator[None]:
    """Keep strangers off the four ports, which workers may share meanwhile.

    Raises:
        InvalidConfig: somebody has a port, or the address is not ours; it names the setting to change.
    """
    with ExitStack() as stack:
        for setting, port in config.ports.items():
            name = SURFACES[setting]
            _check_free(name, config.host, port)
            for holder in bound(name, config.host, port, share=True):
                stack.enter_context(holder)
                # While a socket allows reuse and does not listen, another server's check would pass it over.
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield


def bound(name: str, host: str, port: int, *, share: bool) -> list[socket.socket]:
    """Sockets bound to the port, one for each address of ``host``; none listens yet.

    Args:
        name: of the surface that the port is for.
        host: an address, or a name of some.
        port: the port.
        share: other workers may be bound to it too.

    Raises:
        InvalidConfig: somebody else has the port, or the address is not ours.
    """
    with ExitStack() as stack:
        sockets = []
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, address in dict.fromkeys(addresses):
                one = stack.enter_context(socket.socket(family, kind, protocol))
                sockets.append(one)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != EVERY_ADDRESS)
                one.bind(address)
        except OSError as error:
            raise _taken(name, host, port, error) from error
        stack.pop_all()
        return sockets


def bracketed(host: str) -> str:
    """The host as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host


def cannot_listen(name: str, host: str, port: int, why: str, setting: str = "") -> InvalidConfig:
    """The error of a surface, which says the ``setting`` to change, where not given that of the port."""
    setting = PREFIX + (setting or f"{name}_PORT").upper()
    return InvalidConfig(f"{name} cannot listen on {bracketed(host)}:{port}: {why}; {setting} sets another")


def _check_free(name: str, host: str, port: int) -> None:
    for probe in bound(name, host, port, share=False):
        with probe:
            try:
                probe.listen()
            except OSError as error:
                raise _taken(name, host, port, error) from error


def _taken(name: str, host: str, port: int, error: OSError) -> InvalidConfig:
    return cannot_listen(name, host, port, str(error.strerror), "" if error.errno in _OF_PORT else "host")
