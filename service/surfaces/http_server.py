"""A uvicorn server as one of several on a loop: it leaves the signals alone and says why it does not start."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service.config import Config
from service.errors import InvalidConfig
from service.surfaces.disconnect import ASGIApp

log = logging.getLogger(__name__)


class HttpServer(uvicorn.Server):
    """Listens from `start` until `stop`."""

    def __init__(self, name: str, app: ASGIApp, port: int, config: Config, *, lifespan: bool = False) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=config.host,
                port=port,
                http="httptools",
                ws="none",
                lifespan="on" if lifespan else "off",
                access_log=False,
                server_header=False,
                log_config=None,
                log_level="warning",
                timeout_keep_alive=75,
                # The door has waited already; what is left are idle connections.
                timeout_graceful_shutdown=1,
            )
        )
        self.name = name
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield

    async def start(self) -> None:
        """Listen.

        Raises:
            InvalidConfig: the port is taken or the address is not ours.
            RuntimeError: the app did not start; its trace is in the log.
        """
        self._task = asyncio.create_task(self._listen())
        while not self.started:
            if self._task.done():
                if self.lifespan.should_exit:
                    raise RuntimeError(f"the {self.name} app did not start; its trace is above")
                raise InvalidConfig(f"{self.name} cannot listen on {self.config.host}:{self.config.port}")
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Close idle connections and end."""
        self.should_exit = True
        if self._task is not None:
            await self._task

    async def _listen(self) -> None:
        try:
            await self.serve()
        except SystemExit:  # uvicorn's way to say that it cannot listen
            log.error("%s: cannot listen on port %d", self.name, self.config.port)
