"""The HTTP answer to an error, the same on every port."""

import asyncio

import orjson

from service.errors import Draining, IndexBusy, LectoriumError, QueueFull, TooManyConnections, Unauthenticated

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
# The exceptions that are answered: our errors, and the cancellation of a request when the server stops.
ANSWERED = (LectoriumError, asyncio.CancelledError)


def error_answer(error: LectoriumError | asyncio.CancelledError) -> tuple[int, Headers, bytes]:
    """Its status, headers and body, ``{"error": "..."}``."""
    if isinstance(error, asyncio.CancelledError):
        error = Draining("the server stopped before this request was answered")
    headers = [JSON]
    if isinstance(error, IndexBusy | QueueFull | TooManyConnections):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, Draining):
        headers.append((b"connection", b"close"))  # or the client's next request would meet a closing socket
    return error.http_status, headers, orjson.dumps({"error": str(error)})
