"""Decompresses a request body by its Content-Encoding, within bounds."""

import asyncio
import zlib

from service.errors import InvalidArgument, TooLarge
from service.surfaces.http.body import header
from service.surfaces.http.disconnect import Scope

# zlib's window bits for gzip framing and for zlib framing, which HTTP calls deflate.
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


async def decoded(scope: Scope, body: bytes, limit: int) -> bytes:
    """``body`` decompressed by its Content-Encoding, gzip or deflate; unchanged if it has none.

    A thread does it: a large body takes tens of milliseconds, and zlib lets other threads run meanwhile.

    Raises:
        InvalidArgument: the encoding is another, or the body is not in that encoding.
        TooLarge: it has more than ``limit`` bytes decompressed; the rest is not decompressed.
    """
    encoding = header(scope, b"content-encoding").decode("latin1").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise InvalidArgument(f"content-encoding is {encoding[:40]!r}; allowed are gzip, deflate and none")
    return await asyncio.to_thread(_decompress, encoding, body, limit)


def _decompress(encoding: str, body: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidArgument(f"the body's {len(body)} bytes are not {encoding}: {error}") from error
    if len(plain) > limit:
        raise TooLarge(f"the {encoding} body holds over {limit} bytes, the most that is allowed")
    if not decompressor.eof:
        raise InvalidArgument(f"the {encoding} body is truncated")
    if decompressor.unused_data:
        raise InvalidArgument(f"{len(decompressor.unused_data)} bytes follow the end of the {encoding} body")
    return plain
