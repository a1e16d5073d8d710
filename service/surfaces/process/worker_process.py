"""A worker as the supervisor sees it: a process, and the socket that is its standard input."""

import asyncio
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from contextlib import suppress

from service.errors import LectoriumError
from service.surfaces.process.worker_link import LEAVING, OPEN, Orders, Report, line, next_line, send

# -P: the current folder may have a package named `service`.
COMMAND = (sys.executable, "-P", "-m", "service.surfaces.process.worker")
# The longest report, which names every model.
LINE_BYTES = 16 << 20
# Seconds after the drain; a worker that takes longer hangs.
END_S = 10


class WorkerEnded(LectoriumError):
    """A worker did not start, died, or ended with an error."""


class Worker:
    """One worker process; `start` creates it."""

    def __init__(
        self, orders: Orders, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._number = orders.number
        self._drain_s = orders.config.drain_s
        self._process = process
        self._reader = reader
        self._writer = writer
        self._ready_at: float | None = None

    @classmethod
    async def start(cls, orders: Orders) -> "Worker":
        """Start the process, which begins to load.

        Raises:
            OSError: the system cannot start a process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_BYTES)
            try:
                # A process group of its own, so that a terminal's Ctrl-C reaches the supervisor alone.
                process = await asyncio.create_subprocess_exec(*COMMAND, stdin=theirs.fileno(), process_group=0)
            except BaseException:
                writer.close()
                raise
        send(writer, line(orders))
        return cls(orders, process, reader, writer)

    def __str__(self) -> str:
        return f"worker {self._number} (process {self._process.pid})"

    async def loaded(self) -> str:
        """Wait until it listens; returns the greeting to print.

        Raises:
            WorkerEnded: it ended before that; the message has its reason.
        """
        came = await next_line(self._reader)
        if came in (b"", LEAVING):
            raise WorkerEnded(await self._ended_in_time())
        report = Report.model_validate_json(came)
        if report.refused:
            raise WorkerEnded(report.refused)
        self._ready_at = time.monotonic()
        return report.greeting

    def open(self) -> None:
        """Make it ready."""
        send(self._writer, OPEN)

    async def end(self) -> tuple[str, float]:
        """Wait for the end of a worker that has loaded: what happened, and for how many seconds it served.

        If it drains by itself and does not end in time, it is killed.
        """
        assert self._ready_at is not None
        await next_line(self._reader)  # it drains, or it is dead
        served_s = time.monotonic() - self._ready_at
        return await self._ended_in_time(), served_s

    async def stop(self) -> str:
        """Let it drain and end, or kill it; what happened, "" if it ended without an error."""
        self._writer.close()
        end = await self._ended_in_time()
        return end if self._process.returncode else ""

    async def _ended_in_time(self) -> str:
        try:
            async with asyncio.timeout(self._drain_s + END_S):
                return await self._ended()
        except TimeoutError:
            self._process.kill()
            return f"hanging {await self._ended()}"
        finally:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _ended(self) -> str:
        code = await self._process.wait()
        how = f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return f"{self} {how}"
