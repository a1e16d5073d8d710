"""The four ports: checked before anything is loaded, and shared by several workers (the kernel spreads connections).

An IPv6 address is put in brackets when a port follows it. ``::`` means every address of the machine, IPv4 included.
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.config import PREFIX, Config
from service.errors import InvalidConfig

EVERY_ADDRESS = "::"
# Errors that another port would fix; any other is about the address.
_OF_PORT = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)
# Each port's name, by its setting.
SURFACES = {"http_port": "HTTP", "rest_port": "REST", "grpc_port": "gRPC", "metrics_port": "metrics"}


def check_free(config: Config) -> None:
    """Check that the four ports are free; they are released again.

    Raises:
        InvalidConfig: as `held`.
    """
    for setting, port in config.ports.items():
        _check_free(SURFACES[setting], config.host, port)


@contextmanager
def held(config: Config) -> Iterator[None]:
    """Reserve the four ports inside this block: workers may share them, other programs may not.

    Raises:
        InvalidConfig: a port is taken, or the address is not this machine's; the message names the setting to change.
    """
    with ExitStack() as stack:
        for setting, port in config.ports.items():
            name = SURFACES[setting]
            _check_free(name, config.host, port)
            for holder in bound(name, config.host, port, share=True):
                stack.enter_context(holder)
                # A socket that allows reuse and does not listen would go unnoticed by another server's check.
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield


def bound(name: str, host: str, port: int, *, share: bool) -> list[socket.socket]:
    """Sockets bound to the port, one for each address of ``host``; they do not listen yet.

    Args:
        name: what the port is for, for the message.
        host: an address, or a name that resolves to some.
        port: its number.
        share: let other workers bind it, too.

    Raises:
        InvalidConfig: the port is taken, or the address is not this machine's.
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
    """The host as it is written before a colon and a port."""
    return f"[{host}]" if ":" in host else host


def cannot_listen(name: str, host: str, port: int, why: str, setting: str = "") -> InvalidConfig:
    """The error of a port that cannot be opened; it names the ``setting`` to change, by default the port's."""
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
