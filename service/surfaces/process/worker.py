"""One of several workers: a whole serving process that the supervisor makes ready and stops.

Only the supervisor runs ``python -m service.surfaces.process.worker``: its standard input is a socket to it.
"""

import asyncio
import logging
import socket
import sys
from contextlib import AsyncExitStack, suppress
from types import TracebackType

import uvloop

from service.engine.load_threads import ending_with_loads
from service.errors import LectoriumError
from service.surfaces.metrics.fleet import FleetMetrics
from service.surfaces.metrics.page import MetricsPage
from service.surfaces.process.serving import run
from service.surfaces.process.worker_link import LEAVING, Orders, Report, line, next_line, send


def main() -> int:
    """Serve until the supervisor stops it or dies; returns the exit code."""
    with ending_with_loads(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(socket.socket(fileno=sys.stdin.fileno())))


async def _work(link: socket.socket) -> int:
    reader, writer = await asyncio.open_unix_connection(sock=link)
    try:
        if ordered := await next_line(reader):
            await _serve(Orders.model_validate_json(ordered), Supervisor(reader, writer))
    except LectoriumError as error:
        send(writer, line(Report(refused=str(error))))
        return 1
    finally:
        writer.close()
        with suppress(ConnectionError):  # the supervisor may have closed it already
            await writer.wait_closed()
    return 0


async def _serve(orders: Orders, supervisor: "Supervisor") -> None:
    config, number = orders.own_config, orders.number
    logging.basicConfig(
        level=config.log_level.upper(),
        format=f"%(asctime)s %(levelname)s worker {number} %(name)s: %(message)s",
    )
    metrics = FleetMetrics(orders.folder, number, config.workers)
    async with supervisor, AsyncExitStack() as stack:

        async def opens(greeting: str) -> None:
            # Not before: a worker that still loads may take too long to answer the others.
            await stack.enter_async_context(metrics)
            await supervisor.opens(greeting)

        await run(config, MetricsPage(metrics.registry), supervisor.leave, opens, joins=orders.joins)


class Supervisor:
    """The supervisor as a worker sees it; enter it to receive its messages.

    ``leave`` is set when the supervisor closes the socket or dies. If anything else sets it, the supervisor is told.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._opened = asyncio.Event()
        self.leave = asyncio.Event()

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._tell())]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()

    async def opens(self, greeting: str) -> None:
        """Report that the ports listen, and wait until all workers have done so."""
        send(self._writer, line(Report(greeting=greeting)))
        await self._opened.wait()

    async def _hear(self) -> None:
        while await next_line(self._reader):
            self._opened.set()
        self.leave.set()
        self._opened.set()

    async def _tell(self) -> None:
        await self.leave.wait()
        send(self._writer, LEAVING)


if __name__ == "__main__":
    sys.exit(main())
