"""How an error is answered over HTTP, on every port alike."""

import asyncio

import orjson

from service.errors import Draining, LectoriumError, QueueFull, TooManyConnections, Unauthenticated

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
# What ends a request, and is answered: an error of ours, or the server's end while the request was inside.
ANSWERED = (LectoriumError, asyncio.CancelledError)


def error_answer(error: LectoriumError | asyncio.CancelledError) -> tuple[int, Headers, bytes]:
    """Status, headers and the body ``{"error": "..."}``."""
    if isinstance(error, asyncio.CancelledError):
        error = Draining("the server ended before this request did")
    headers = [JSON]
    if isinstance(error, QueueFull | TooManyConnections):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, Draining):
        headers.append((b"connection", b"close"))  # else the client's next request meets a closing socket
    return error.http_status, headers, orjson.dumps({"error": str(error)})
