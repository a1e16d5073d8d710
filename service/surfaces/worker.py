"""One of several workers: the whole serving process, told by the supervisor when to open and when to leave.

``python -m service.surfaces.worker``, which only the supervisor runs: the standard input is its socket.
"""

import asyncio
import logging
import socket
import sys
from contextlib import suppress

import uvloop

from service.engine.load_threads import ending_with_loads
from service.errors import LectoriumError
from service.surfaces.fleet_metrics import FleetMetrics
from service.surfaces.metrics_page import MetricsPage
from service.surfaces.process import run
from service.surfaces.worker_link import Orders, Report, line, next_line


def main() -> int:
    """Serve until the supervisor says or dies; the exit code."""
    with ending_with_loads(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(socket.socket(fileno=sys.stdin.fileno())))


async def _work(link: socket.socket) -> int:
    reader, writer = await asyncio.open_unix_connection(sock=link)
    try:
        if ordered := await next_line(reader):
            await _serve(Orders.model_validate_json(ordered), Supervisor(reader, writer))
    except LectoriumError as error:
        writer.write(line(Report(refused=str(error))))
        return 1
    finally:
        writer.close()
        with suppress(ConnectionError):  # the supervisor may have heard enough
            await writer.wait_closed()
    return 0


async def _serve(orders: Orders, supervisor: "Supervisor") -> None:
    config, number = orders.own_config, orders.number
    logging.basicConfig(
        level=config.log_level.upper(),
        format=f"%(asctime)s %(levelname)s worker {number} %(name)s: %(message)s",
    )
    async with FleetMetrics(orders.folder, number, config.workers) as metrics:
        await run(config, MetricsPage(metrics.registry), supervisor.leave, supervisor.opens)


class Supervisor:
    """The supervisor, as a worker sees it; ``leave`` is set when it closes the socket, or dies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.leave = asyncio.Event()

    async def opens(self, models: list[str]) -> None:
        """Report that the ports listen, and wait until those of all workers do."""
        self._writer.write(line(Report(models=models)))
        await next_line(self._reader)
        self._hearing = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        while await next_line(self._reader):
            pass
        self.leave.set()


if __name__ == "__main__":
    sys.exit(main())
