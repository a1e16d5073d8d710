"""The supervisor of several workers: starts them, opens them together, replaces those that end and stops them together.

Each worker is a process of its own with all four ports. The supervisor answers no request and loads no model.
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

# Seconds before each replacement of a worker that keeps ending; after the last of them the server ends.
WAITS_S: tuple[float, ...] = (0, 1, 2, 4, 8, 16, 30)
# A worker that has served for so long is one that works: the next end is the first again.
STEADY_S = 60


async def supervise(config: Config) -> None:
    """Serve by ``config.workers`` processes until SIGTERM or SIGINT, then have them drain.

    Raises:
        InvalidConfig: a port cannot be had, or no socket in the folder for temporary files.
        WorkerEnded: a worker did not start at first, or keeps ending, or did not end well at the end; the others have
            drained.
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
        """Start the workers, open them together, and replace each that ends.

        Raises:
            WorkerEnded: one did not start, or one and its replacements keep ending.
        """
        began = time.perf_counter()
        for number in range(1, self._config.workers + 1):
            await self._start(number, joins=False)
        workers = list(self._workers.values())
        greeting, *_ = await asyncio.gather(*(worker.loaded() for worker in workers))
        # All at once: whoever waits for readiness keeps the connection, and the first worker would have them all.
        for worker in workers:
            worker.open()
        log.info("%d workers ready in %.2f s", len(workers), time.perf_counter() - began)
        print(greeting, flush=True)
        try:
            async with asyncio.TaskGroup() as group:
                for number in list(self._workers):
                    group.create_task(self._keep(number))
        except ExceptionGroup as ended:  # the first ends them all
            raise ended.exceptions[0] from None

    async def stop(self) -> list[str]:
        """Have all drain and end; how those ended that did not end well."""
        ends = await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
        return [end for end in ends if end]

    async def _start(self, number: int, *, joins: bool) -> Worker:
        orders = Orders(number=number, folder=self._folder, config=self._config, joins=joins)
        worker = self._workers[number] = await Worker.start(orders)
        return worker

    async def _keep(self, number: int) -> None:
        """Whenever the worker of that number ends, have another take its place.

        Raises:
            WorkerEnded: it has ended once more than there are `WAITS_S`, without serving for long in between.
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
            log.error("%s: another takes its place in %g s", end, wait_s)
            await asyncio.sleep(wait_s)
            end, served_s = await self._replace(number)

    async def _replace(self, number: int) -> tuple[str, float]:
        """Start another and wait for its end: how it came, and for how many seconds it had served."""
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
        log.info("%s took the place of the one that ended, in %.2f s", worker, time.perf_counter() - began)
        return await worker.end()
