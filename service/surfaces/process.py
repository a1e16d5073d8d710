"""The serving process: one engine, four ports, one loop, and a way out that loses nobody."""

import asyncio
import logging
import signal
import time

from prometheus_client import make_asgi_app

from service.config import Config
from service.engine import Engine
from service.surfaces.bentoml_http import task_app
from service.surfaces.door import Door
from service.surfaces.grpc_server import GrpcServer
from service.surfaces.http_server import HttpServer
from service.surfaces.oip_rest import OipRest
from service.tasks.classify import Classifier

log = logging.getLogger(__name__)


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Readiness falls at once and new requests are refused; those inside have ``drain_s`` seconds to finish.

    Raises:
        InvalidConfig: a port cannot be had.
        InvalidPackage: a package of the repository may not be served.
    """
    began = time.perf_counter()
    leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave.set)
    async with Engine(config) as engine:
        door = Door(engine)
        classifier = Classifier(engine, config)
        grpc_server = GrpcServer(engine, classifier, door, config)
        servers: list[HttpServer | GrpcServer] = [grpc_server, *http_servers(engine, classifier, door, config)]
        try:
            for server in servers:
                await server.start()
            door.open()
            await grpc_server.serving()
            log.info("ready in %.2f s", time.perf_counter() - began)
            print(greeting(config, engine.repository.names), flush=True)
            await leave.wait()
            log.info("draining")
            door.close()
            await grpc_server.not_serving()
            await door.emptied(config.drain_s)
        finally:
            await asyncio.gather(*(server.stop() for server in servers))


def http_servers(engine: Engine, classifier: Classifier, door: Door, config: Config) -> list[HttpServer]:
    """The three ports that speak HTTP."""
    return [
        HttpServer("REST", OipRest(engine, door, config), config.rest_port, config),
        HttpServer("metrics", make_asgi_app(), config.metrics_port, config),
        HttpServer("HTTP", task_app(engine, classifier, door, config), config.http_port, config, lifespan=True),
    ]


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
