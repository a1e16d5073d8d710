"""The serving process: one engine, four ports, one loop, and a way out that loses nobody."""

import asyncio
import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import make_asgi_app

from service.config import Config
from service.engine import Engine
from service.errors import InvalidConfig
from service.surfaces.bentoml_http import task_app
from service.surfaces.disconnect import ASGIApp
from service.surfaces.door import Door
from service.surfaces.grpc_server import GrpcServer
from service.surfaces.oip_rest import OipRest
from service.tasks.classify import Classifier

log = logging.getLogger(__name__)


class HttpServer(uvicorn.Server):
    """A uvicorn server that leaves the signals to `serve`."""

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
        """
        self._task = asyncio.create_task(self._listen())
        while not self.started:
            if self._task.done():
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
        except SystemExit:  # uvicorn's way to say that it cannot listen; it has logged why
            log.error("%s: cannot listen on port %d", self.name, self.config.port)


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Readiness falls at once and new requests are refused; those inside have ``drain_s`` seconds to finish.

    Raises:
        InvalidConfig: a port cannot be had.
        InvalidPackage: a package of the repository may not be served.
    """
    began = time.perf_counter()
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    async with Engine(config) as engine:
        door = Door(engine)
        classifier = Classifier(engine, config)
        grpc_server = GrpcServer(engine, classifier, door, config)
        http_servers = [
            HttpServer("REST", OipRest(engine, door, config), config.rest_port, config),
            HttpServer("metrics", make_asgi_app(), config.metrics_port, config),
            HttpServer("HTTP", task_app(engine, classifier, door, config), config.http_port, config, lifespan=True),
        ]
        await grpc_server.start()
        for server in http_servers:
            await server.start()
        log.info("ready in %.2f s", time.perf_counter() - began)
        print(greeting(config, engine.repository.names), flush=True)
        await leave.wait()
        log.info("draining")
        await grpc_server.not_serving()
        await door.close(config.drain_s)
        await grpc_server.stop(grace_s=0)
        for server in http_servers:
            await server.stop()


def greeting(config: Config, models: list[str]) -> str:
    """What the user sees: the addresses, and a command to try."""
    host = "localhost" if config.host in ("127.0.0.1", "0.0.0.0", "::") else config.host
    return f"""
Lectorium serves {", ".join(models)}

  tasks and OpenAPI page   http://{host}:{config.http_port}
  Open Inference REST      http://{host}:{config.rest_port}/v2
  gRPC                     {host}:{config.grpc_port}
  metrics                  http://{host}:{config.metrics_port}/metrics

Try:  curl -F image=@tests/data/seven.png http://{host}:{config.http_port}/v1/classify
"""
