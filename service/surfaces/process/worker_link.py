"""What passes between the supervisor and a worker: a socket that is the worker's standard input, and lines on it.

The supervisor sends `Orders`, the worker its `Report`, the supervisor `OPEN`. When the socket closes, be it that
the supervisor wishes so or that it was killed, the worker drains and ends. A worker that drains for another reason
sends `LEAVING` first.
"""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from service.config import REVEAL, Config
from service.errors import InvalidConfig

OPEN = b"open\n"
LEAVING = b"leaving\n"
# Of the folder of the workers' sockets: what the kernel takes, less the name of a socket.
PATH_LENGTH = 100


class Orders(BaseModel):
    """What a worker is told first.

    Attributes:
        number: its own, from 1.
        folder: private to the workers.
        config: what all are to serve.
        joins: the others serve already, so it must be ready when the first of its ports listens.
    """

    number: int
    folder: Path
    config: Config
    joins: bool = False

    @property
    def own_config(self) -> Config:
        """The configuration of this worker."""
        return self.config.for_worker(self.number)


class Report(BaseModel):
    """What a worker answers once: what the user shall see when it listens, or why it cannot serve."""

    greeting: str = ""
    refused: str = ""


def line(message: Orders | Report) -> bytes:
    """The message as it is sent."""
    return message.model_dump_json(context=REVEAL).encode() + b"\n"


async def next_line(reader: asyncio.StreamReader) -> bytes:
    """What came; empty when the other end has closed or died."""
    try:
        came = await reader.readline()
    except ConnectionError:  # it died with something unread
        return b""
    return came if came.endswith(b"\n") else b""  # it died in the middle of a line


def send(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Send it, unless the other end is known to have closed or died."""
    if not writer.is_closing():
        writer.write(message)


def check_folder(folder: str) -> None:
    """Refuse a folder in which the workers could have no sockets.

    Raises:
        InvalidConfig: its path is too long.
    """
    if len(folder) > PATH_LENGTH:
        raise InvalidConfig(f"TMPDIR is too long for sockets: {folder} has over {PATH_LENGTH} letters")
