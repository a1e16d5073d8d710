"""PPM, PGM, PBM and PFM: raw samples cost little; text, and depths other than 8 and 16 bits, are read in Python."""

import re

from service.image_bounds.bounds import Bounds, damaged, too_many

MOST_HEADER_BYTES = 4096
# For each comment among the samples, Pillow copies what follows it.
MOST_COMMENTS = 256

_COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")
_PLAIN = {b"P1", b"P2", b"P3"}
_BILEVEL = {b"P1", b"P4"}
_CHANNELS = {b"P3": 3, b"P6": 3, b"PyRGBA": 4, b"PyCMYK": 4, b"P0CMYK": 4}

_NS_SAMPLE = 3
_NS_SCALED_SAMPLE = 1000
_NS_PLAIN_BYTE = 250
_NS_COMMENT = 500_000


def bounds(data: bytes) -> Bounds:
    """The bounds of a file of the PPM family.

    Raises:
        Damaged: its structure is damaged.
        TooLarge: it has too many comments.
    """
    magic, *tokens = _COMMENT.sub(b"", data[:MOST_HEADER_BYTES]).split(maxsplit=4)[:4]
    try:
        width, height = int(tokens[0]), int(tokens[1])
        most = 255 if magic in _BILEVEL or magic == b"Pf" else int(tokens[2])
    except (ValueError, IndexError) as error:
        raise damaged("PPM", f"its first {MOST_HEADER_BYTES} bytes have no header") from error
    samples = width * height * _CHANNELS.get(magic, 1)
    if magic in _PLAIN:
        comments = data.count(b"#")
        if comments > MOST_COMMENTS:
            raise too_many("PPM", "comments", comments, MOST_COMMENTS)
        nanoseconds = len(data) * _NS_PLAIN_BYTE + comments * _NS_COMMENT
        return Bounds(width, height, nanoseconds, f"in {len(data)} bytes of plain text")
    if most == 255 or (most == 65535 and magic == b"P5"):
        return Bounds(width, height, samples * _NS_SAMPLE)
    return Bounds(width, height, samples * _NS_SCALED_SAMPLE, f"with samples of 0 to {most}")
