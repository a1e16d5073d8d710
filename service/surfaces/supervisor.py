"""The supervisor of several workers: starts them, opens them together and stops them together.

Each worker is a process of its own with all four ports. The supervisor answers no request and loads no model.
"""

import asyncio
import logging
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from pathlib import Path
from tempfile import TemporaryDirectory

from service.config import Config
from service.errors import InvalidConfig, LectoriumError
from service.surfaces.greeting import greeting
from service.surfaces.ports import held
from service.surfaces.worker_link import OPEN, Orders, Report, line, next_line

log = logging.getLogger(__name__)

# -P: the folder we are in may have a `service` of its own.
COMMAND = (sys.executable, "-P", "-m", "service.surfaces.worker")
# Besides the drain; a worker that takes longer hangs.
END_S = 10
# Of the sockets' folder: what the kernel takes, less the name of a socket.
PATH_LENGTH = 100


class WorkerEnded(LectoriumError):
    """A worker did not start, died, or ended otherwise than well."""


async def supervise(config: Config) -> None:
    """Serve by ``config.workers`` processes until SIGTERM or SIGINT, then have them drain.

    Raises:
        InvalidConfig: a port cannot be had, or no socket in the folder for temporary files.
        WorkerEnded: a worker did not start, died, or ended otherwise than well; the others have drained.
    """
    with held(config), TemporaryDirectory(prefix="lectorium-") as folder:
        if len(folder) > PATH_LENGTH:
            raise InvalidConfig(f"TMPDIR is too long for sockets: {folder} has over {PATH_LENGTH} letters")
        workers: list[Worker] = []
        running = asyncio.create_task(_run(config, Path(folder), workers))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            log.info("stopping %d workers", len(workers))
        finally:
            ends = await asyncio.gather(*(worker.stop(config.drain_s + END_S) for worker in workers))
    if failed := [end for end in ends if end]:
        raise WorkerEnded("; ".join(failed))


async def _run(config: Config, folder: Path, workers: "list[Worker]") -> None:
    """Start the workers, adding each to ``workers``, and wait for one to end.

    Raises:
        WorkerEnded: which never is what was wanted.
    """
    began = time.perf_counter()
    for number in range(1, config.workers + 1):
        orders = Orders(number=number, folder=folder, config=config)
        workers.append(await Worker.start(orders))
    models, *_ = await asyncio.gather(*(worker.loaded() for worker in workers))
    # All at once: whoever waits for readiness keeps the connection, and the first worker would have them all.
    for worker in workers:
        worker.open()
    log.info("%d workers ready in %.2f s", config.workers, time.perf_counter() - began)
    print(greeting(config, models), flush=True)
    ends = asyncio.as_completed([worker.ended() for worker in workers])
    first = await next(ends)
    log.error("%s: stopping the others", first)
    raise WorkerEnded(first)


class Worker:
    """One worker, as the supervisor sees it."""

    def __init__(
        self, number: int, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._number = number
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, orders: Orders) -> "Worker":
        """Start the process; it has begun to load."""
        ours, theirs = socket.socketpair()
        with theirs:
            # A process group of its own: a terminal's Ctrl-C comes to the supervisor alone.
            process = await asyncio.create_subprocess_exec(*COMMAND, stdin=theirs.fileno(), process_group=0)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        writer.write(line(orders))
        return cls(orders.number, process, reader, writer)

    async def loaded(self) -> list[str]:
        """Wait until it listens; the names of its models.

        Raises:
            WorkerEnded: with its reason.
        """
        came = await next_line(self._reader)
        report = Report.model_validate_json(came) if came else Report(refused=await self.ended())
        if report.refused:
            raise WorkerEnded(report.refused)
        return report.models

    def open(self) -> None:
        """Let it be ready."""
        self._writer.write(OPEN)

    async def ended(self) -> str:
        """Wait for its end; how it came."""
        code = await self._process.wait()
        how = f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return f"worker {self._number} (process {self._process.pid}) {how}"

    async def stop(self, within_s: float) -> str:
        """Have it drain and end, or kill it after ``within_s``; how it ended, empty where well."""
        self._writer.close()
        try:
            async with asyncio.timeout(within_s):
                end = await self.ended()
        except TimeoutError:
            self._process.kill()
            end = f"hanging {await self.ended()}"
        return end if self._process.returncode else ""
