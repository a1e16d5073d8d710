"""What a file's structure says of it before a pixel is decoded."""

from typing import NamedTuple

from service.errors import InvalidImage, TooLarge


class Bounds(NamedTuple):
    """The size of the image and the most that decoding it can cost.

    Attributes:
        width, height: in pixels.
        nanoseconds: of one core: as measured for the costliest files of that structure, and somewhat more.
        structure: what makes it cost that, for the error's message.
        file: what the decoder is given, where that is not the file itself.
    """

    width: int
    height: int
    nanoseconds: float
    structure: str = ""
    file: bytes | None = None


class Damaged(Exception):
    """The file's structure breaks off or contradicts itself; the message says where."""


def damaged(format_: str, what: str) -> Damaged:
    """The error of such a file."""
    return Damaged(f"as {format_}, {what}")


def unread(format_: str, what: str) -> InvalidImage:
    """The error of a file that uses a part of its format that is not read here."""
    return InvalidImage(f"the {format_} file has {what}, which is not read here")


def too_many(format_: str, what: str, came: int, most: int) -> TooLarge:
    """The error of a file with more of something than is taken."""
    return TooLarge(f"the {format_} file has {came} {what}; at most {most} are taken")


def more_than(format_: str, what: str, most: int) -> TooLarge:
    """The same where counting ended at the limit."""
    return TooLarge(f"the {format_} file has more than {most} {what}; at most {most} are taken")
