"""The messages between the supervisor and a worker: lines on a socket that is the worker's standard input.

The supervisor sends `Orders`, the worker its `Report`, the supervisor `OPEN`. When the socket closes, because the
supervisor closed it or was killed, the worker drains and ends. A worker that drains for another reason sends `LEAVING`
first.
"""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from service.config import REVEAL, Config
from service.errors import InvalidConfig

OPEN = b"open\n"
LEAVING = b"leaving\n"
# The longest path of the folder with the workers' sockets: the kernel's limit, less a socket's name.
PATH_LENGTH = 100


class Orders(BaseModel):
    """The first message to a worker.

    Attributes:
        number: the worker's, from 1.
        folder: where the workers have their sockets; private to them.
        config: the configuration of all workers.
        joins: the others serve already, so it has to be ready before the first of its ports listens.
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
    """The only answer of a worker: the greeting to print when it listens, or why it cannot serve."""

    greeting: str = ""
    refused: str = ""


def line(message: Orders | Report) -> bytes:
    """The message as a line."""
    return message.model_dump_json(context=REVEAL).encode() + b"\n"


async def next_line(reader: asyncio.StreamReader) -> bytes:
    """The next line; b"" if the other end has closed or died."""
    try:
        came = await reader.readline()
    except ConnectionError:  # it died with something unread
        return b""
    return came if came.endswith(b"\n") else b""  # it died in the middle of a line


def send(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Send it, unless the other end is known to have closed."""
    if not writer.is_closing():
        writer.write(message)


def check_folder(folder: str) -> None:
    """Check that the workers can have sockets in this folder.

    Raises:
        InvalidConfig: its path is too long.
    """
    if len(folder) > PATH_LENGTH:
        raise InvalidConfig(f"the path of TMPDIR is {folder}, {len(folder)} letters; sockets allow {PATH_LENGTH}")
