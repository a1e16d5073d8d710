"""A uvicorn server as one of several on an event loop: it handles no signals, and says why it cannot start."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn

from service.config import Config
from service.surfaces.http.connections import Connections
from service.surfaces.http.disconnect import ASGIApp
from service.surfaces.http.protocol import HttpProtocol
from service.surfaces.process.ports import bound, cannot_listen

log = logging.getLogger(__name__)


class HttpServer(uvicorn.Server):
    """Listens from `start` until `stop`; ``most`` connections may be open at the same time."""

    def __init__(self, name: str, app: ASGIApp, port: int, config: Config, most: int) -> None:
        self._connections = Connections(name, config, most)
        super().__init__(
            uvicorn.Config(
                app,
                host=config.host,
                port=port,
                http=cast(Any, partial(HttpProtocol, self._connections)),
                ws="none",
                lifespan="off",
                proxy_headers=False,
                access_log=False,
                server_header=False,
                log_config=None,
                log_level="warning",
                # The gate has waited for requests already; what is left are idle connections and reads.
                timeout_graceful_shutdown=1,
            )
        )
        self.name = name
        self.server_state.connections = cast(
            Any, self._connections.open
        )  # they have the methods of uvicorn's own protocols
        self._shares_port = config.workers > 1
        self._task: asyncio.Task[None] | None = None

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, close connections whose callers hung up; once a second, those idle for too long."""
        self._connections.end_hung_up()
        if counter % 10 == 0:
            self._connections.look()
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle none: the process does."""
        yield

    async def start(self) -> None:
        """Listen.

        Raises:
            InvalidConfig: the port is taken, or the address is not this machine's.
        """
        sockets = bound(self.name, self.config.host, self.config.port, share=self._shares_port)
        self._task = asyncio.create_task(self._listen(sockets))
        while not self.started:
            if self._task.done():
                raise cannot_listen(self.name, self.config.host, self.config.port, "the log says why")
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Close idle connections, and stop."""
        for refused in list(self._connections.refused):
            refused.end()
        self.should_exit = True
        if self._task is not None:
            await self._task

    async def _listen(self, sockets: list[socket.socket]) -> None:
        try:
            await self.serve(sockets)
        except OSError as error:  # another program began to listen after the port was checked
            log.error("%s: cannot listen on port %d: %s", self.name, self.config.port, error)
