"""The least work of an ASGI server: it sends a request's body back. With uvicorn, uvloop and httptools."""

import sys
from typing import Any

import uvicorn

from deploy.bench.server import HOST


async def app(_scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 with the request's body."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": bytes(body)})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host=HOST,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level="warning",
    )
