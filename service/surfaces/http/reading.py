"""Puts apps that only read behind the gate: pages, cards, probes and metrics."""

from service.surfaces.client import HttpClient
from service.surfaces.gate import Gate, Kind
from service.surfaces.http.disconnect import ASGIApp, Message, Receive, Scope, Send
from service.surfaces.http.error import ANSWERED, error_answer

# The metrics' code of an answer's status. Other statuses: OK below 400, INVALID_ARGUMENT below 500, INTERNAL above.
_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class GatedReads:
    """Middleware: each request to ``app`` passes the gate as a read of ``surface``."""

    def __init__(self, app: ASGIApp, gate: Gate, surface: str) -> None:
        self._app = app
        self._gate = gate
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            with self._gate.call(self._surface, HttpClient(scope), Kind.READ) as call:
                await self._app(scope, receive, sending)
                call.code = _code(status)
        except ANSWERED as error:
            if status:  # the connection is closed where the answer is not whole
                return
            status, headers, body = error_answer(error)
            length = (b"content-length", b"%d" % len(body))
            await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
            await send({"type": "http.response.body", "body": body})


def _code(status: int) -> str:
    if status < 400:
        return "OK"
    return _CODES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
