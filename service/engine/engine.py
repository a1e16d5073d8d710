"""The engine: everything that serves the models of one repository in this process.

One event loop owns all queues; a few lanes run the graphs.
"""

import asyncio
import logging
from collections.abc import Iterator
from types import TracebackType

from service.config import Config
from service.engine.control import Control
from service.engine.device import choose
from service.engine.dispatcher import Dispatcher
from service.engine.handover import inline_limit_s
from service.engine.inference import Inference
from service.engine.loader import Loader
from service.engine.model import Model
from service.engine.model_queues import ModelQueues
from service.engine.repository import Repository
from service.engine.session_factory import SessionFactory
from service.engine.version_reader import VersionReader
from service.engine.watch import Watch

_MAX_REASON = 10_000

log = logging.getLogger(__name__)


class Engine(Inference):
    """Serves the packages of one repository. Enter it on the event loop that will call it::

        async with Engine(config) as engine:
            answer = await engine.infer("lenet5", None, {"image": images})

    Attributes:
        device: what the graphs run on; set at entry, like the next two.
        loader: loads the models.
        control: loads and unloads models on request.

    Raises:
        InvalidPackage: at entry, if packages may not be served and the configuration does not let the server start
            without them.
        InvalidConfig: at entry, if the configured device does not work.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._watching: asyncio.Task[None] | None = None
        dispatcher = Dispatcher()
        queues = ModelQueues(config.max_queue_rows, dispatcher.contended)
        super().__init__(Repository(), queues, dispatcher, config.timeout_s)

    async def __aenter__(self) -> "Engine":
        self.device = await asyncio.to_thread(choose, self._config)
        await asyncio.to_thread(inline_limit_s)  # before loads disturb its measurement
        sessions = SessionFactory(self._config, self.device)
        reader = VersionReader(self._config, sessions.open_graph, sessions.load)
        self.loader = Loader(self._config, self.repository, reader, self._queues.open, self._queues.close)
        self.control = Control(self._config, self.repository, self.loader)
        try:
            await self._load()
        except BaseException:
            await self.loader.stop()
            raise
        self._dispatcher.start(sessions.lanes)
        log.info("engine: %s, %d lane(s) x %d thread(s)", self.device, sessions.lanes, sessions.intra_op)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
        self.refuse_all()
        await self._dispatcher.stop()
        self.control.stop()
        await self.loader.stop()

    @property
    def alive(self) -> bool:
        """Whether every lane is alive."""
        return self._dispatcher.alive

    @property
    def ready(self) -> bool:
        """Whether every lane is alive and no model is missing of those to load at the start."""
        return not self.why_not_ready

    @property
    def why_not_ready(self) -> str:
        """Why it is not `ready`: which models are missing, and the reason of each; "" if it is."""
        if not self.alive:
            return "an inference thread has ended; the log says why"
        missing = self.loader.missing
        if not missing:
            return ""
        count = "1 model is" if len(missing) == 1 else f"{len(missing)} models are"
        return f"{count} not loaded: {'; '.join(missing)}"[:_MAX_REASON]

    def waiting(self) -> Iterator[tuple[Model, int]]:
        """Every model that is served, and how many requests wait for it."""
        return self._queues.waiting()

    async def _load(self) -> None:
        if self._config.model_control != "poll":
            await self.loader.start()
            return
        watch = Watch(self._config.repository, self.repository, self.loader)
        await watch.start()
        self._watching = asyncio.create_task(watch.run(self._config.poll_s))
