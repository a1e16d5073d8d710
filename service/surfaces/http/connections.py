"""The connections of one HTTP port: how many are allowed, and how long each may be idle."""

import asyncio
import logging
import resource
import select
import time
from typing import Protocol

from service.config import Config
from service.errors import InvalidConfig, TooManyConnections
from service.surfaces.http.exchange import refusal

HTTP_PORTS = 3
# Surplus connections of a port that wait to be refused when they send a request; more are refused at once.
MAX_REFUSED = 32
# Seconds that a closing connection has to read its last answer.
LINGER_S = 2.0

log = logging.getLogger(__name__)


class Open(Protocol):
    """A connection that is served."""

    transport: asyncio.Transport

    def look(self, now: float) -> None:
        """Close it if nothing has happened on it for too long."""


class Connections:
    """The connections of the port ``name``, and their limits.

    Args:
        most: how many may be open at the same time; further ones are answered 503.
    """

    def __init__(self, name: str, config: Config, most: int) -> None:
        self.name = name
        self.most = most
        self.max_head_bytes = config.max_head_bytes
        self.head_s = config.head_s
        self.keep_alive_s = config.keep_alive_s
        self.patience_s = config.timeout_s
        self.open: set[Open] = set()
        self.paused: set[Open] = set()
        self.refused: set[Refused] = set()
        self.refused_count = 0
        self.answer = refusal(TooManyConnections(f"{most} connections are open; no more are allowed; try again later"))

    @property
    def full(self) -> bool:
        """Whether another connection must be refused."""
        return len(self.open) >= self.most

    def look(self) -> None:
        """Close those that have been idle for too long; called about once a second."""
        now = time.monotonic()
        for connection in list(self.open):
            connection.look(now)
        for refused in list(self.refused):
            refused.look(now)
        if self.refused_count:
            log.warning("%s: refused %d connections beside %d open ones", self.name, self.refused_count, self.most)
            self.refused_count = 0

    def end_hung_up(self) -> None:
        """Close connections whose callers hung up while reading is paused, which the event loop does not notice."""
        if not self.paused:
            return
        poll = select.poll()
        transports = [connection.transport for connection in self.paused if not connection.transport.is_closing()]
        found = {transport.get_extra_info("socket").fileno(): transport for transport in transports}
        for descriptor in found:
            poll.register(descriptor, select.POLLRDHUP)
        for descriptor, _ in poll.poll(0):
            found[descriptor].abort()


class Refused(asyncio.Protocol):
    """A surplus connection. It is refused when it sends a request, because most clients read nothing before that."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._told = False
        self._since = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for its request, unless many others do already."""
        self._transport = transport
        self._connections.refused_count += 1
        if len(self._connections.refused) >= MAX_REFUSED:
            transport.write(self._connections.answer)
            transport.close()
        else:
            self._connections.refused.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._connections.refused.discard(self)

    def data_received(self, data: bytes) -> None:
        """Refuse, and let it read the answer before the connection is closed."""
        if not self._told and not self._transport.is_closing():
            self._told = True
            self._transport.write(self._connections.answer)
            self._transport.write_eof()

    def look(self, now: float) -> None:
        """Close it if its time is over."""
        if now - self._since > LINGER_S:
            self.end()

    def end(self) -> None:
        """Close it at once."""
        self._transport.abort()


def connections_a_port(wanted: int) -> int:
    """How many connections each HTTP port may have, ``wanted`` at most.

    A quarter of the process's file descriptors is left for gRPC, model files and the rest. If the soft limit is too low
    for that, it is raised as far as the hard limit allows.

    Raises:
        InvalidConfig: the hard limit is too low to serve at all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = HTTP_PORTS * (wanted + MAX_REFUSED) * 4 // 3 + 1
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = soft * 3 // 4 // HTTP_PORTS - MAX_REFUSED
    if most < 1:
        raise InvalidConfig(f"this process may have {soft} file descriptors, too few to serve: raise `ulimit -n`")
    log.warning("a port may have %d connections instead of %d: the limit of file descriptors is %d", most, wanted, soft)
    return most
