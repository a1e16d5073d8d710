"""Undo a request body's Content-Encoding, within bounds."""

import asyncio
import zlib

from service.errors import InvalidArgument, TooLarge
from service.surfaces.http.body import header
from service.surfaces.http.disconnect import Scope

# zlib's window bits: gzip framing, and zlib framing, which is what HTTP calls deflate.
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


async def decoded(scope: Scope, body: bytes, limit: int) -> bytes:
    """``body`` as it was before its Content-Encoding, gzip or deflate; as it is where there is none.

    The work is a thread's: zlib lets others run, and a large body takes tens of milliseconds.

    Raises:
        InvalidArgument: another encoding, or the body is not what the encoding says.
        TooLarge: decoded it has more than ``limit`` bytes; what follows is not decoded.
    """
    encoding = header(scope, b"content-encoding").decode("latin1").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise InvalidArgument(f"Content-Encoding {encoding[:40]!r} came; gzip, deflate or none is wanted")
    return await asyncio.to_thread(_decompress, encoding, body, limit)


def _decompress(encoding: str, body: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidArgument(f"the body's {len(body)} bytes are no {encoding}: {error}") from error
    if len(plain) > limit:
        raise TooLarge(f"the {encoding} body holds over {limit} bytes; at most that are taken")
    if not decompressor.eof:
        raise InvalidArgument(f"the {encoding} body ends before its end")
    if decompressor.unused_data:
        raise InvalidArgument(f"{len(decompressor.unused_data)} bytes follow the end of the {encoding} body")
    return plain
