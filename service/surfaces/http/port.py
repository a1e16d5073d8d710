"""Port 3000: the tasks, the pages, the probes, and BentoML's own app, which is made when it is first needed."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.config import Config
from service.engine import Engine
from service.surfaces.gate import Gate
from service.surfaces.http.browser_headers import BrowserHeaders
from service.surfaces.http.disconnect import ASGIApp, Receive, Scope, Send
from service.surfaces.http.openapi import document
from service.surfaces.http.pages import ERROR_HANDLERS, Pages
from service.surfaces.http.reading import GatedReads
from service.surfaces.http.tasks import SURFACE, TaskRoutes
from service.tasks.task import Endpoint

SCHEMA = "/schema.json"
FILES = "/static_content/"


def port_app(engine: Engine, endpoints: Sequence[Endpoint], gate: Gate, config: Config, metrics: ASGIApp) -> ASGIApp:
    """The ASGI app of port 3000."""
    pages = Pages(engine, document(endpoints, config.max_images), metrics).app()
    probes = Probes(gate)
    pages.routes.extend(
        [
            *[Route(path, probes.live) for path in ("/livez", "/healthz")],
            Route("/readyz", probes.ready),
            *[Route(endpoint.path, _OnlyPost()) for endpoint in endpoints],
        ]
    )
    bentoml = BentoMLApp(endpoints, gate)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        which = bentoml if path == SCHEMA or path.startswith(FILES) else pages
        await which(scope, receive, send)

    return routed(app, endpoints, gate, config)


def routed(app: ASGIApp, endpoints: Sequence[Endpoint], gate: Gate, config: Config) -> ASGIApp:
    """The tasks' routes, and ``app`` for all other paths, behind the gate."""
    return BrowserHeaders(TaskRoutes(GatedReads(app, gate, SURFACE), endpoints, gate, config))


class BentoMLApp:
    """BentoML's own app, made at its first request.

    Importing BentoML and making the app takes 0.6 s of processor time and 40 MiB in each worker; all else that a server
    with one small model does until it is ready takes 0.8 s and 118 MiB. Only people and BentoML's clients ask for its
    schema and the OpenAPI page's files.
    """

    def __init__(self, endpoints: Sequence[Endpoint], gate: Gate) -> None:
        self._endpoints = endpoints
        self._gate = gate
        self._app: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with self._making:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
        await self._app(scope, receive, send)

    def _make(self) -> ASGIApp:
        from service.surfaces.bentoml_service import task_service

        logging.getLogger("bentoml").setLevel(logging.WARNING)
        app: Any = task_service(self._endpoints, self._gate).to_asgi()
        app.exception_handlers.update(ERROR_HANDLERS)
        made: ASGIApp = app
        return made


class Probes:
    """Liveness and readiness, answered as BentoML's own app does."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def live(self, _: Request) -> Response:
        """Always 200: the process answers."""
        return PlainTextResponse("\n")

    async def ready(self, _: Request) -> Response:
        """200, or 503 with the reason."""
        if reason := self._gate.why_not_ready:
            raise HTTPException(503, reason)
        return PlainTextResponse("\n")


class _OnlyPost:
    """Refuses other verbs on a task's path; a POST never gets here, `TaskRoutes` answers it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(405, headers={"Allow": "POST"})
