"""The BentoML service in a process that BentoML starts: its engine lives as long as BentoML's worker does."""

import atexit
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import bentoml
from prometheus_client import CollectorRegistry

from service.config import Config
from service.engine import Engine
from service.metrics import published
from service.surfaces.bentoml_service import mount_pages, task_service
from service.surfaces.control_guard import ControlGuard
from service.surfaces.gate import Gate
from service.surfaces.http.disconnect import ASGIApp
from service.surfaces.http.hang_up import HangUps
from service.surfaces.http.port import routed
from service.surfaces.metrics.device import DeviceMetrics
from service.surfaces.metrics.fleet import FleetMetrics
from service.surfaces.metrics.page import MetricsPage, own_registry
from service.surfaces.metrics.triton import TritonMetrics
from service.surfaces.process.collector import spare_collector
from service.surfaces.process.worker_link import check_folder
from service.tasks.registry import check_default_models, check_default_tasks, endpoints

# The folder where the workers of one `bentoml serve` find each other; BentoML's first process makes it for them.
FOLDER_KEY = "BENTO_WORKERS_FOLDER"
# BentoML ends a request after its own timeout: so long after ours for the body and for the answer have both passed.
SPARE_S = 10


def hosted(config: Config) -> Any:
    """The BentoML service, to be assigned to a variable of a module; nothing is loaded before BentoML's worker starts.

    It answers as our own port 3000 does, by the same routes, which stand before BentoML's own.
    """
    return Host(config).service()


class Host:
    """What one of BentoML's processes serves."""

    def __init__(self, config: Config) -> None:
        index = bentoml.server_context.worker_index  # from 1; None outside a worker
        self._number = ((index or 1) - 1) % config.workers + 1
        self._config = config.for_worker(self._number)
        check_default_tasks(config)
        self._engine = Engine(self._config)
        self._gate = Gate(self._engine, [ControlGuard(config)])
        self._endpoints = endpoints(self._engine, self._config)
        self._metrics: Callable[[], Awaitable[CollectorRegistry]] = own_registry
        self._stack = AsyncExitStack()

    def service(self) -> Any:
        """BentoML's service, with the hooks that BentoML calls."""

        async def start(_self: object) -> None:
            async with AsyncExitStack() as stack:  # if it does not start, its lanes end
                await self._start(stack)
                self._stack = stack.pop_all()

        async def stop(_self: object) -> None:
            await self._stop()

        hooks: dict[str, Any] = {"start": bentoml.on_startup(start), "stop": bentoml.on_shutdown(stop)}
        if self._config.workers > 1:
            hooks["prepare"] = bentoml.on_deployment(_make_folder)
        config = self._config
        service = task_service(
            self._endpoints,
            self._gate,
            hooks,
            workers=config.workers,
            http={"host": config.host, "port": config.http_port},
            traffic={"timeout": 2 * config.timeout_s + SPARE_S},
        )
        mount_pages(service, self._engine, self._endpoints, config, MetricsPage(self._registry))
        service.add_asgi_middleware(self._routed)
        return service

    def _routed(self, app: ASGIApp) -> ASGIApp:
        return HangUps(routed(app, self._endpoints, self._gate, self._config))

    async def _registry(self) -> CollectorRegistry:
        return await self._metrics()

    async def _start(self, stack: AsyncExitStack) -> None:
        """Load every model; until then BentoML takes no connection.

        Raises:
            InvalidConfig: the device that is wanted does not work here, or a default model is not served.
            InvalidPackage: a package of the repository may not be served.
        """
        logging.basicConfig(
            level=self._config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        engine = await stack.enter_async_context(self._engine)
        check_default_models(engine, self._config)
        stack.enter_context(published(DeviceMetrics(lambda: engine.repository, engine.device)))
        stack.enter_context(published(TritonMetrics(engine.waiting)))
        if self._config.workers > 1 and (folder := os.environ.get(FOLDER_KEY)):
            fleet = FleetMetrics(Path(folder), self._number, self._config.workers)
            self._metrics = (await stack.enter_async_context(fleet)).registry
        spare_collector()
        self._gate.open()

    async def _stop(self) -> None:
        """Stop the engine. BentoML has sent every answer; images whose callers have left may still be decoded."""
        self._gate.close()
        await self._gate.drained(self._config.drain_s)
        await self._stack.aclose()


def _make_folder() -> None:
    """A folder for the sockets of the workers, which inherit the variable."""
    os.environ[FOLDER_KEY] = folder = mkdtemp(prefix="lectorium-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    check_folder(folder)
