"""The engine: takes requests to models and returns their answers, or what their steps emit.

One event loop owns all queues; a few lanes run the graphs.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from types import TracebackType

import numpy as np

from service.config import Config
from service.deadline import Deadline
from service.engine.batch import BatchQueue
from service.engine.control import Control
from service.engine.device import choose
from service.engine.dispatcher import Dispatcher
from service.engine.handover import inline_limit_s
from service.engine.lifetime import Lifetime
from service.engine.loader import Loader
from service.engine.model import Model
from service.engine.model_queues import ModelQueues
from service.engine.options import DEFAULTS, Options, check_once, checked_seed, checked_steps
from service.engine.repository import Repository
from service.engine.request import Answer, Request
from service.engine.sampling_parameters import checked_sampling_parameters
from service.engine.session_factory import SessionFactory
from service.engine.steps import Emission, StepLoop, StepRequest
from service.engine.tensors import Tensors, check_inputs, check_outputs, check_steps
from service.engine.version_reader import VersionReader
from service.engine.watch import Watch
from service.errors import Draining, InvalidArgument, QueueFull, Unsupported
from service.package import Graph, Loop

_STOPPED = "the engine has stopped"
_MAX_REASON = 10_000

log = logging.getLogger(__name__)


class Engine:
    """Serves the packages of one repository. Enter it on the event loop that will call it::

        async with Engine(config) as engine:
            answer = await engine.infer("lenet5", None, {"image": images})

    Attributes:
        device: what the graphs run on.
        repository: the models that are served.
        loader: loads them.
        control: loads and unloads them on request. All four exist from entry on.

    Raises:
        InvalidPackage: at entry, if packages may not be served and the configuration does not let the server start
            without them.
        InvalidConfig: at entry, if the configured device does not work.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._watching: asyncio.Task[None] | None = None
        self._dispatcher = Dispatcher()
        self._queues = ModelQueues(config.max_queue_rows, self._dispatcher.contended)
        self._stopped = False

    async def __aenter__(self) -> "Engine":
        self._loop = asyncio.get_running_loop()
        self.device = await asyncio.to_thread(choose, self._config)
        await asyncio.to_thread(inline_limit_s)  # before loads disturb its measurement
        sessions = SessionFactory(self._config, self.device)
        reader = VersionReader(self._config, sessions.open_graph, sessions.load)
        self.repository = Repository()
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
        self._stopped = True
        if self._watching is not None:
            self._watching.cancel()
        self._queues.fail(Draining(_STOPPED))
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

    async def infer(
        self,
        model: str | Model,
        version: str | None,
        inputs: Tensors,
        outputs: Sequence[str] = (),
        options: Options = DEFAULTS,
        part: str = "",
    ) -> Answer:
        """Run the model on ``inputs``, in a batch with other requests if there are any.

        Args:
            model: its name, or a model from the repository, which answers even if it was replaced since.
            version: its version; None or "" for the highest.
            inputs: one array for each input of the model, all with the same number of rows.
            outputs: the names of the outputs to return, in that order; all if empty.
            options: deadline, priority and, for a step loop, steps and seed.
            part: the name of a part of the card to run instead of the model's program; it has a queue of its own.

        Raises:
            UnknownModel: there is no such model or version.
            InvalidArgument: the model does not allow an input, an output or an option.
            Unsupported: the model is a step loop that emits at every step; use `steps`.
            QueueFull: the queue has no room for the rows.
            DeadlineExceeded: there was no answer by the deadline, or the queue timeout passed.
            Draining: the engine has stopped.
            InternalError: the graph failed; the log says why.
        """
        model = self._resolve(model, version)
        program = _part(model, part) if part else model.program
        if isinstance(program, Loop):
            return await self._last(model, program, inputs, outputs, options)
        name, graph = model.name, program
        check_once(name, options)
        rows = check_inputs(name, graph.inputs, inputs, batched=graph.max_batch > 0)
        requested = check_outputs(name, graph.outputs, tuple(outputs))
        queues = self._queues.of(model)
        queue = queues.parts[part] if part else queues.once
        deadline = options.deadline_within(self._config.timeout_s)
        return await self._once(queue, inputs, requested, rows, options, deadline)

    async def steps(
        self,
        model: str | Model,
        version: str | None,
        inputs: Tensors,
        outputs: Sequence[str] = (),
        options: Options = DEFAULTS,
    ) -> AsyncGenerator[Emission]:
        """Yield what each step of a step loop emits; the last emission also has the loop's answer.

        Wrap it in `contextlib.aclosing`. Beam search emits at its end: then each step of the best hypotheses, which are
        the rows, the best first.

        Args:
            model: its name, or a model from the repository, which answers even if it was replaced since.
            version: its version; None or "" for the highest.
            inputs: one array for each input of the loop; those with a default may be left out.
            outputs: the names of the outputs to return, of those emitted and those of the answer; all if empty.
            options: deadline, priority, steps, seed and decoding.

        Raises:
            UnknownModel, InvalidArgument, QueueFull, DeadlineExceeded, Draining, InternalError: as `infer`.
            CallerBehind: the caller left too much of what was emitted unread.
        """
        model = self._resolve(model, version)
        name, loop = model.name, model.program
        if not isinstance(loop, Loop):
            raise InvalidArgument(f"model {name!r} runs once; it has no steps")
        began, deadline = time.perf_counter(), options.deadline_within(self._config.timeout_s)
        rows, step_inputs = check_steps(name, loop, inputs)
        requested = check_outputs(name, loop.outputs, tuple(outputs))
        steps, seed = checked_steps(name, loop, options), checked_seed(name, options)
        sampling = checked_sampling_parameters(name, loop, options.decoding, steps, rows)
        beams = sampling.width if sampling is not None else 1
        queues = self._queues.of(model)
        queue = queues.steps
        assert queue is not None  # a step loop has one
        level = self._admit(queue, rows * beams, options)
        encoded: Tensors = {}
        waited_s = encode_s = 0.0
        if loop.encoder is not None:
            with queue.requests.reserve(
                rows * beams
            ):  # so that the encoder does not run for steps that would be refused
                answer = await self._encode(queues.once, loop.encoder, inputs, rows, options, deadline)
            encoded, waited_s = answer.outputs, answer.queue_s
            encode_s = time.perf_counter() - began - waited_s
        if beams > 1:
            rows, step_inputs, encoded = beams, _beams(step_inputs, beams), _beams(encoded, beams)
        request = StepRequest(
            step_inputs, encoded, requested, rows, steps, seed, level, sampling, deadline, began, encode_s
        )
        queue_timeout_s = queue.requests.queue_timeout_s(options.queue_timeout_s)
        with Lifetime(queue.requests, request, model.statistics, queue_timeout_s, waited_s=waited_s):
            self._dispatcher.add(queue)
            emission = await request.next()
            model.statistics.first_responses.add(time.perf_counter() - began)
            while not emission.last:
                yield emission
                emission = await request.next()
        yield emission

    async def _last(
        self, model: Model, loop: Loop, inputs: Tensors, outputs: Sequence[str], options: Options
    ) -> Answer:
        """The answer of a step loop that emits nothing before its end."""
        if loop.emit:
            raise Unsupported(
                f"model {model.name!r} emits {list(loop.emit)} at every step; "
                "request it as a stream, with ModelStreamInfer or generate_stream"
            )
        began = time.perf_counter()
        async with aclosing(self.steps(model, None, inputs, outputs, options)) as emissions:
            async for emission in emissions:
                queue_s = emission.queue_s
                return Answer(emission.outputs, queue_s, time.perf_counter() - began - queue_s, emission.seed)
        raise AssertionError("a loop ends with an emission")

    async def _encode(
        self, queue: BatchQueue | None, encoder: Graph, inputs: Tensors, rows: int, options: Options, deadline: Deadline
    ) -> Answer:
        images = {spec.name: inputs[spec.name] for spec in encoder.inputs}
        features = tuple(spec.name for spec in encoder.outputs)
        answer = await self._once(queue, images, features, rows, options, deadline, ends=False)
        self._check_running()
        return answer

    async def _once(
        self,
        queue: BatchQueue | None,
        inputs: Tensors,
        outputs: tuple[str, ...],
        rows: int,
        options: Options,
        deadline: Deadline,
        *,
        ends: bool = True,
    ) -> Answer:
        assert queue is not None  # a model that runs once has one, and so has an encoder
        level = self._admit(queue, rows, options)
        request = Request(inputs, outputs, rows, self._loop.create_future(), level, deadline, queue.signature(inputs))
        queue_timeout_s = queue.requests.queue_timeout_s(options.queue_timeout_s)
        with Lifetime(queue.requests, request, queue.model.statistics, queue_timeout_s, ends=ends):
            self._dispatcher.add(queue)
            try:
                return await request.future
            finally:
                # An error's traceback has this frame, and the future has the error: such a cycle would keep all that
                # the frames hold until the garbage collector runs, which is seldom.
                del request

    async def _load(self) -> None:
        if self._config.model_control != "poll":
            await self.loader.start()
            return
        watch = Watch(self._config.repository, self.repository, self.loader)
        await watch.start()
        self._watching = asyncio.create_task(watch.run(self._config.poll_s))

    def _resolve(self, model: str | Model, version: str | None) -> Model:
        return model if isinstance(model, Model) else self.repository.get(model, version)

    def _check_running(self) -> None:
        if self._stopped:
            raise Draining(_STOPPED)

    def _admit(self, queue: BatchQueue | StepLoop, rows: int, options: Options) -> int:
        """The request's priority level, after checking that its rows have room in the queue."""
        self._check_running()
        level = queue.requests.level(options.priority)
        try:
            queue.requests.admit(rows)
        except QueueFull:
            queue.model.statistics.refused()
            raise
        return level


def _part(model: Model, name: str) -> Graph:
    if name not in model.card.parts:
        raise InvalidArgument(f"model {model.name!r} has no part {name[:80]!r}; it has {list(model.card.parts)}")
    return model.card.parts[name]


def _beams(tensors: Tensors, beams: int) -> Tensors:
    """Views of each tensor that repeat its one row for every beam."""
    return {name: np.broadcast_to(tensor, (beams, *tensor.shape[1:])) for name, tensor in tensors.items()}
