"""Reads the body of an HTTP request, within bounds."""

from collections.abc import Iterable

from service.errors import CallerGone, InvalidArgument, TooLarge
from service.surfaces.http.disconnect import Receive, Scope

_MAX_DIGITS = 15
_MAX_ECHO = 80


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        TooLarge: it has, or announces, more than ``limit`` bytes; the rest is not read.
        CallerGone: the caller hung up before its end.
    """
    announced = length_header(scope, b"content-length")
    if announced is not None and announced > limit:
        raise TooLarge(f"the request has {announced} bytes; at most {limit} are allowed")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone(f"the caller hung up after {size} bytes of its request")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise TooLarge(f"the request has over {size} bytes; at most {limit} are allowed")
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def header(scope: Scope, name: bytes) -> bytes:
    """The header's value; b"" if there is none. ``name`` is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def length_header(scope: Scope, name: bytes) -> int | None:
    """The value of a header that counts bytes; None if there is none.

    Raises:
        InvalidArgument: it is not a whole number of at most 15 digits.
    """
    value = header(scope, name)
    if not value:
        return None
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise InvalidArgument(f"{name.decode()} is {value[:40].decode('latin1')!r}; it must be a number of bytes")
    return int(value)


def check_json_type(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Check that a body is JSON by its content type; if there is none, as from Triton's client, that is allowed.

    Raises:
        InvalidArgument: the content type is another.
    """
    for kind in [value.decode("latin-1").strip() for name, value in headers if name == b"content-type"]:
        if kind.partition(";")[0].strip().lower() != "application/json":
            raise InvalidArgument(f"content-type is {kind[:_MAX_ECHO]!r}; it must be application/json")
