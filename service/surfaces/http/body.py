"""Read an HTTP request's body, within bounds."""

from collections.abc import Iterable

from service.errors import CallerGone, InvalidArgument, TooLarge
from service.surfaces.http.disconnect import Receive, Scope

_MAX_DIGITS = 15
_MAX_ECHO = 80


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        TooLarge: it has, or says it has, more than ``limit`` bytes; what follows is not read.
        CallerGone: the caller hung up before its end.
    """
    announced = length_header(scope, b"content-length")
    if announced is not None and announced > limit:
        raise TooLarge(f"the request has {announced} bytes; at most {limit} are taken")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone(f"the caller hung up after {size} bytes of its request")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise TooLarge(f"the request has over {size} bytes; at most {limit} are taken")
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def header(scope: Scope, name: bytes) -> bytes:
    """The header's value, "" where it is not there; ``name`` in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def length_header(scope: Scope, name: bytes) -> int | None:
    """A header that counts bytes; None where it is not there.

    Raises:
        InvalidArgument: it is no whole number of a plausible size.
    """
    value = header(scope, name)
    if not value:
        return None
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise InvalidArgument(f"{name.decode()}: {value[:40].decode('latin1')!r} is no length in bytes")
    return int(value)


def check_json_type(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a body that is said to be something else than JSON; Triton's client says nothing of it.

    Raises:
        InvalidArgument: naming the type that came.
    """
    for kind in [value.decode("latin-1").strip() for name, value in headers if name == b"content-type"]:
        if kind.partition(";")[0].strip().lower() != "application/json":
            raise InvalidArgument(f"a body of application/json is wanted, {kind[:_MAX_ECHO]!r} came")
