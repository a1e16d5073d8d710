"""The serving process: one engine, four ports, one event loop, and a shutdown that loses no request."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from service.config import Config
from service.engine import Engine
from service.metrics import published
from service.surfaces.control_guard import ControlGuard
from service.surfaces.gate import Gate
from service.surfaces.grpc.server import GrpcServer
from service.surfaces.http.connections import connections_a_port
from service.surfaces.http.disconnect import ASGIApp
from service.surfaces.http.port import port_app
from service.surfaces.http.reading import GatedReads
from service.surfaces.http.server import HttpServer
from service.surfaces.metrics.device import DeviceMetrics
from service.surfaces.metrics.page import MetricsPage
from service.surfaces.metrics.triton import TritonMetrics
from service.surfaces.oip.data_plane import DataPlane
from service.surfaces.oip.grpc import OipGrpc
from service.surfaces.oip.rest import OipRest
from service.surfaces.process.collector import spare_collector
from service.surfaces.process.greeting import greeting
from service.surfaces.process.ports import check_free
from service.tasks.registry import check_default_models, check_default_tasks, endpoints
from service.tasks.task import Endpoint

log = logging.getLogger(__name__)


async def serve(config: Config) -> None:
    """Serve with this process alone; see `run`."""
    check_free(config)

    async def greet(text: str) -> None:
        print(text, flush=True)

    await run(config, MetricsPage(), asyncio.Event(), greet)


async def run(
    config: Config,
    metrics: ASGIApp,
    leave: asyncio.Event,
    opens: Callable[[str], Awaitable[None]],
    *,
    joins: bool = False,
) -> None:
    """Serve until SIGTERM, SIGINT or ``leave``, then drain.

    Draining, the server is not ready and refuses new requests; those in flight have ``drain_s`` seconds to finish.

    Args:
        config: what to serve, and where.
        metrics: the app that answers ``/metrics`` on both ports that have it.
        leave: set it to stop the server as SIGTERM does.
        opens: called with the greeting to print once every port listens; the server is ready when it returns.
        joins: other workers serve on these ports already, so be ready before the first port listens.

    Raises:
        InvalidConfig: a port is taken, or the device cannot be used.
        InvalidPackage: a package of the repository may not be served.
    """
    began = time.perf_counter()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave.set)
    check_default_tasks(config)
    async with AsyncExitStack() as stack:
        engine = await _loaded(stack, config, leave)
        if engine is None:
            return
        stack.enter_context(published(DeviceMetrics(lambda: engine.repository, engine.device)))
        stack.enter_context(published(TritonMetrics(engine.waiting)))
        check_default_models(engine, config)
        gate = Gate(engine, [ControlGuard(config)])
        asked = endpoints(engine, config)
        grpc_server, http = make_servers(engine, asked, gate, config, metrics)
        servers: list[HttpServer | GrpcServer] = [grpc_server, *http]
        if leave.is_set():  # while it loaded
            return
        if joins:
            gate.open()
            if engine.ready:
                await grpc_server.serving()
        try:
            for server in servers:
                await server.start()
            await opens(await greeting(config, engine, asked))
            spare_collector()
            gate.open()
            announcing = asyncio.create_task(_announce(engine, grpc_server, began))
            await leave.wait()
            announcing.cancel()
            log.info("draining")
            gate.close()
            await grpc_server.not_serving()
            await gate.drained(config.drain_s)
        finally:
            await asyncio.gather(*(server.stop() for server in servers))


async def _loaded(stack: AsyncExitStack, config: Config, leave: asyncio.Event) -> Engine | None:
    """The engine with its models; None if the server is stopped while they load."""
    entering = asyncio.create_task(stack.enter_async_context(Engine(config)))
    leaving = asyncio.create_task(leave.wait())
    await asyncio.wait((entering, leaving), return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if entering.done():
        return entering.result()
    log.info("stopping before all models are loaded")
    entering.cancel()
    await asyncio.wait((entering,))
    return None


async def _announce(engine: Engine, grpc_server: GrpcServer, began: float) -> None:
    """Set gRPC health to SERVING once every model that is wanted at the start is loaded."""
    await engine.loader.complete.wait()
    await grpc_server.serving()
    log.info("ready in %.2f s", time.perf_counter() - began)


def make_servers(
    engine: Engine, asked: Sequence[Endpoint], gate: Gate, config: Config, metrics: ASGIApp
) -> tuple[GrpcServer, list[HttpServer]]:
    """The gRPC port, and the three ports that speak HTTP."""
    most = connections_a_port(config.max_connections)
    plane = DataPlane(engine, gate, config)
    task = port_app(engine, asked, gate, config, metrics)
    return GrpcServer(OipGrpc(plane, gate, config), asked, gate, config), [
        HttpServer("REST", OipRest(plane, gate, config), config.rest_port, config, most),
        HttpServer("metrics", GatedReads(metrics, gate, "metrics"), config.metrics_port, config, most),
        HttpServer("HTTP", task, config.http_port, config, most),
    ]
