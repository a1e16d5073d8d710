"""How an error is answered over HTTP, on every port alike."""

import orjson

from service.errors import Draining, LectoriumError, QueueFull

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")


def error_answer(error: LectoriumError) -> tuple[int, Headers, bytes]:
    """Status, headers and the body ``{"error": "..."}``."""
    headers = [JSON]
    if isinstance(error, QueueFull):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if isinstance(error, Draining):
        headers.append((b"connection", b"close"))  # else the client's next request meets a closing socket
    return error.http_status, headers, orjson.dumps({"error": str(error)})
