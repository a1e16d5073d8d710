"""The bounds of an image file, known from its structure before a pixel is decoded, and the errors of a bad one."""

from typing import NamedTuple

from service.errors import InvalidImage, TooLarge


class Bounds(NamedTuple):
    """The size of the image and the most that decoding it can cost.

    Attributes:
        width, height: in pixels.
        nanoseconds: of one core, as measured for the most expensive files of that structure, plus a margin.
        structure: what causes the cost, for the error message.
        file: the bytes for the decoder, if not the file itself.
    """

    width: int
    height: int
    nanoseconds: float
    structure: str = ""
    file: bytes | None = None


class Damaged(Exception):
    """The file's structure is truncated or contradicts itself; the message says where."""


def damaged(format_: str, what: str) -> Damaged:
    """The error for a damaged file."""
    return Damaged(f"as {format_}, {what}")


def unread(format_: str, what: str) -> InvalidImage:
    """The error for a file that uses an unsupported part of its format."""
    return InvalidImage(f"the {format_} file has {what}, which is not supported")


def too_many(format_: str, what: str, found: int, most: int) -> TooLarge:
    """The error for a file with more of something than is allowed."""
    return TooLarge(f"the {format_} file has {found} {what}; at most {most} are allowed")


def more_than(format_: str, what: str, most: int) -> TooLarge:
    """The error for a file with more of something than is allowed, if counting stopped at the limit."""
    return TooLarge(f"the {format_} file has more than {most} {what}; at most {most} are allowed")
