"""What passes between the supervisor and a worker: a socket that is the worker's standard input, and lines on it.

The supervisor sends `Orders`, the worker its `Report`, the supervisor `OPEN`. When the socket closes, be it that
the supervisor wishes so or that it was killed, the worker drains and ends. A worker that drains for another reason
sends `LEAVING` first.
"""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from service.config import REVEAL, Config

OPEN = b"open\n"
LEAVING = b"leaving\n"


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
        """The configuration, with the one GPU that is this worker's; those that there are go round."""
        gpus = self.config.gpus
        return self.config.model_copy(update={"gpus": (gpus[(self.number - 1) % len(gpus)],)})


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
