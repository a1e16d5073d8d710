"""The read-only pages of port 3000: the OpenAPI page, the cards, the metrics."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ExceptionHandler

from service.engine import Engine
from service.errors import LectoriumError, NotReady, UnknownModel, UnknownPath, WrongVerb
from service.surfaces.http.disconnect import ASGIApp
from service.surfaces.http.error import error_answer

_SCRIPT = """
SwaggerUIBundle({url: "./docs.json", dom_id: "#swagger-ui", validatorUrl: null, deepLinking: true});
"""
# BentoML's own page loads a tag manager and badges from other sites; this one loads only files of this server.
_INDEX = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<title>Lectorium</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<script src="./static_content/swagger-ui-bundle.js" charset="UTF-8"></script>
<script>{_SCRIPT}</script>
</body>
</html>
"""
# Only files of this server; the icons are data URLs in the style sheet.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'self' 'sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


class Pages:
    """The pages; ``description`` is the OpenAPI document, ``metrics`` the app of the metrics page."""

    def __init__(self, engine: Engine, description: dict[str, Any], metrics: ASGIApp) -> None:
        self._engine = engine
        self._document = description
        self._metrics = metrics

    def app(self) -> Starlette:
        """An app with the routes, to be mounted at the root."""
        app = Starlette(
            routes=[
                Route("/", self._index),
                Route("/docs.json", self._docs),
                Route("/v1/models", self._cards),
                Route("/v1/models/{name}", self._card),
                Route("/v1/models/", _without_slash),
                Route("/v1/models/{name}/", _without_slash),
                Route("/metrics", self._metrics, methods=["GET"]),
            ],
            exception_handlers=ERROR_HANDLERS,
        )
        # Starlette would redirect to an address made from the Host header, which the caller chooses.
        app.router.redirect_slashes = False
        return app

    async def _index(self, _: Request) -> Response:
        return HTMLResponse(_INDEX, headers={"content-security-policy": _POLICY})

    async def _docs(self, _: Request) -> Response:
        return JSONResponse(self._document)

    async def _cards(self, _: Request) -> Response:
        return JSONResponse({"models": [model.card.model_dump(mode="json") for model in self._engine.repository]})

    async def _card(self, request: Request) -> Response:
        try:
            model = self._engine.repository.get(request.path_params["name"], request.query_params.get("version"))
        except UnknownModel as error:
            return _refusal(error)
        return JSONResponse(model.card.model_dump(mode="json"))


async def _without_slash(request: Request) -> Response:
    """Redirect to the same path without its last slash, relative to wherever the caller reaches this server."""
    last = request.scope["path"].rstrip("/").rpartition("/")[2]
    query = request.scope["query_string"].decode("latin-1")
    return Response(status_code=307, headers={"location": f"../{quote(last, safe='')}{'?' if query else ''}{query}"})


async def _unknown_path(request: Request, _: Exception) -> Response:
    return _refusal(UnknownPath(f"no path {request.scope['path'][:200]!r}"))


async def _wrong_verb(request: Request, error: Exception) -> Response:
    headers: dict[str, str] = getattr(error, "headers", None) or {}
    takes = headers.get("Allow", "another verb")
    return _refusal(WrongVerb(f"{request.method} {request.scope['path'][:200]}: this path takes {takes}"), headers)


async def _not_ready(_: Request, error: Exception) -> Response:
    return _refusal(NotReady(getattr(error, "detail", "")))


def _refusal(error: LectoriumError, more: Mapping[str, str] = MappingProxyType({})) -> Response:
    status, headers, body = error_answer(error)
    return Response(body, status, {**more, **{k.decode(): v.decode() for k, v in headers}})


# Starlette's own answers to these statuses are plain text.
ERROR_HANDLERS: dict[Any, ExceptionHandler] = {404: _unknown_path, 405: _wrong_verb, 503: _not_ready}
