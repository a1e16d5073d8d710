"""The supervisor of several workers: starts them, makes them ready together, replaces those that end, stops them all.

Each worker is a process with all four ports. The supervisor itself answers no request and loads no model.
"""

import asyncio
import logging
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from service.config import Config
from service.surfaces.process.ports import held
from service.surfaces.process.worker_link import Orders, check_folder
from service.surfaces.process.worker_process import Worker, WorkerEnded

log = logging.getLogger(__name__)

# Seconds to wait before each replacement of a worker that keeps ending; after the last one the server ends.
WAITS_S: tuple[float, ...] = (0, 1, 2, 4, 8, 16, 30)
# A worker that has served for this long works; if it ends later, that counts as the first time again.
STEADY_S = 60


async def supervise(config: Config) -> None:
    """Serve with ``config.workers`` processes until SIGTERM or SIGINT, then let them drain.

    Raises:
        InvalidConfig: a port is taken, or the temporary folder's path is too long for sockets.
        WorkerEnded: a worker did not start, keeps ending, or failed when it was stopped; the others have drained.
    """
    with held(config), TemporaryDirectory(prefix="lectorium-") as folder:
        check_folder(folder)
        fleet = Fleet(config, Path(folder))
        running = asyncio.create_task(fleet.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            log.info("stopping the workers")
        finally:
            failed = await fleet.stop()
    if failed:
        raise WorkerEnded("; ".join(failed))


class Fleet:
    """The workers, by number; ``folder`` is private to them."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._workers: dict[int, Worker] = {}

    async def run(self) -> None:
        """Start the workers, make them ready together, and replace each that ends.

        Raises:
            WorkerEnded: a worker did not start, or a worker and its replacements keep ending.
        """
        began = time.perf_counter()
        for number in range(1, self._config.workers + 1):
            await self._start(number, joins=False)
        workers = list(self._workers.values())
        greeting, *_ = await asyncio.gather(*(worker.loaded() for worker in workers))
        # All at once: clients that wait for readiness keep their connection, and would all stay with the first worker.
        for worker in workers:
            worker.open()
        log.info("%d workers ready in %.2f s", len(workers), time.perf_counter() - began)
        print(greeting, flush=True)
        try:
            async with asyncio.TaskGroup() as group:
                for number in list(self._workers):
                    group.create_task(self._keep(number))
        except ExceptionGroup as ended:  # the first one ends the server
            raise ended.exceptions[0] from None

    async def stop(self) -> list[str]:
        """Let all drain and end; what happened to those that failed."""
        ends = await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
        return [end for end in ends if end]

    async def _start(self, number: int, *, joins: bool) -> Worker:
        orders = Orders(number=number, folder=self._folder, config=self._config, joins=joins)
        worker = self._workers[number] = await Worker.start(orders)
        return worker

    async def _keep(self, number: int) -> None:
        """Replace the worker of that number whenever it ends.

        Raises:
            WorkerEnded: it has ended more often in a row than `WAITS_S` allows.
        """
        end, served_s = await self._workers[number].end()
        ends = 0
        while True:
            self._workers.pop(number, None)
            ends = 1 if served_s >= STEADY_S else ends + 1
            if ends > len(WAITS_S):
                end = f"{end}; worker {number} has ended {ends} times in a row"
                log.error("%s: stopping the others", end)
                raise WorkerEnded(end)
            wait_s = WAITS_S[ends - 1]
            log.error("%s: it is replaced in %g s", end, wait_s)
            await asyncio.sleep(wait_s)
            end, served_s = await self._replace(number)

    async def _replace(self, number: int) -> tuple[str, float]:
        """Start another and wait for its end: what happened, and for how many seconds it served."""
        began = time.perf_counter()
        try:
            worker = await self._start(number, joins=True)
        except OSError as error:
            return f"worker {number} cannot be started: {error}", 0.0
        try:
            await worker.loaded()
        except WorkerEnded as error:
            await worker.stop()
            return f"worker {number} does not start: {error}", 0.0
        worker.open()
        log.info("%s replaces the one that ended, after %.2f s", worker, time.perf_counter() - began)
        return await worker.end()
