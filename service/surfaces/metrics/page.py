"""The page with the metrics, for every port that has it."""

from collections.abc import Awaitable, Callable

from prometheus_client import REGISTRY, CollectorRegistry, make_asgi_app
from starlette.responses import JSONResponse

from service.surfaces.http.disconnect import Message, Receive, Scope, Send


class MetricsUnavailable(Exception):
    """Some of the metrics are missing, and the rest would be taken for all of them."""


async def own_registry() -> CollectorRegistry:
    """The metrics of this process."""
    return REGISTRY


class MetricsPage:
    """An ASGI app: the metrics of ``registry()`` in a format that the scraper accepts, or 503 with the reason."""

    def __init__(self, registry: Callable[[], Awaitable[CollectorRegistry]] = own_registry) -> None:
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; its path does not matter."""

        async def sending(message: Message) -> None:
            if (
                message["type"] == "http.response.start"
            ):  # the library writes Content-Type, which ASGI has in lower case
                message["headers"] = [(name.lower(), value) for name, value in message["headers"]]
            await send(message)

        try:
            app = make_asgi_app(await self._registry())
        except MetricsUnavailable as error:
            app = JSONResponse({"error": str(error)}, 503)
        await app(scope, receive, sending)
