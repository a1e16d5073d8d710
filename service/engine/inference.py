"""Answers requests: checks them, puts them into a queue, and waits for the answer or for what the steps emit."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import numpy as np

from service.deadline import Deadline
from service.engine.batch import BatchQueue
from service.engine.decoding import Decoding
from service.engine.dispatcher import Dispatcher
from service.engine.lifetime import Lifetime
from service.engine.model import Model
from service.engine.model_queues import ModelQueues
from service.engine.options import DEFAULTS, Options, check_once, checked_seed, checked_steps, checked_stride
from service.engine.repository import Repository
from service.engine.request import Answer, Request
from service.engine.sampling_parameters import checked_sampling_parameters
from service.engine.step_request import Emission, StepRequest
from service.engine.steps import StepLoop
from service.engine.tensors import Tensors, check_inputs, check_outputs, check_row_elements, check_steps
from service.errors import Draining, InvalidArgument, QueueFull, Unsupported
from service.package import Graph, Loop

_STOPPED = "the engine has stopped"


class Inference:
    """Requests to the models of a repository. It belongs to the event loop.

    Args:
        repository: the models that are served.
        queues: their queues.
        dispatcher: runs what is in the queues.
        timeout_s: the longest time a request may take, and the default.
    """

    def __init__(self, repository: Repository, queues: ModelQueues, dispatcher: Dispatcher, timeout_s: float) -> None:
        self.repository = repository
        self._queues = queues
        self._dispatcher = dispatcher
        self._timeout_s = timeout_s
        self._stopped = False

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
        if not part:
            check_row_elements(name, model.most_row_elements, inputs)
        requested = check_outputs(name, graph.outputs, tuple(outputs))
        queues = self._queues.of(model)
        queue = queues.parts[part] if part else queues.once
        deadline = options.deadline_within(self._timeout_s)
        return await self._once(queue, inputs, requested, rows, options, deadline)

    async def steps(
        self,
        model: str | Model,
        version: str | None,
        inputs: Tensors,
        outputs: Sequence[str] = (),
        options: Options = DEFAULTS,
    ) -> AsyncGenerator[Emission]:
        """Yield what each step of a step loop emits, or every k-th and the last if the options say so.

        The last emission also has the loop's answer. Wrap it in `contextlib.aclosing`. Beam search emits at its end:
        then each step of the best hypotheses, which are the rows, the best first.

        Args:
            model: its name, or a model from the repository, which answers even if it was replaced since.
            version: its version; None or "" for the highest.
            inputs: one array for each input of the loop; those with a default may be left out.
            outputs: the names of the outputs to return, of those emitted and those of the answer; all if empty.
            options: deadline, priority, steps, seed, decoding and the stride of emissions.

        Raises:
            UnknownModel, InvalidArgument, QueueFull, DeadlineExceeded, Draining, InternalError: as `infer`.
            CallerBehind: the caller left too much of what was emitted unread.
        """
        model = self._resolve(model, version)
        name, loop = model.name, model.program
        if not isinstance(loop, Loop):
            raise InvalidArgument(f"model {name!r} runs once; it has no steps")
        began, deadline = time.perf_counter(), options.deadline_within(self._timeout_s)
        rows, step_inputs = check_steps(name, loop, inputs, options.rows)
        requested = check_outputs(name, loop.outputs, tuple(outputs))
        needed = loop.step_outputs(requested)
        steps, seed = checked_steps(name, loop, options), checked_seed(name, options)
        sampling = checked_sampling_parameters(name, loop, options.decoding, steps, rows)
        every = checked_stride(name, loop, options, sampling)
        beams = sampling.width if sampling is not None else 1
        queues = self._queues.of(model)
        queue = queues.steps
        assert queue is not None  # a step loop has one
        level = self._admit(queue, rows * beams, options)
        decoding = Decoding(loop, queues, requested)
        encoded: Tensors = {}
        waited_s = encode_s = 0.0
        with decoding.reserved(rows * beams):
            if loop.encoder is not None:
                # Places are held while the encoder runs, so that it does not run for steps that would then be refused.
                with queue.requests.reserve(rows * beams):
                    answer = await self._encode(queues.once, loop.encoder, inputs, rows, options, deadline)
                encoded, waited_s = answer.outputs, answer.queue_s
                encode_s = time.perf_counter() - began - waited_s
            if beams > 1:
                rows, step_inputs, encoded = beams, _beams(step_inputs, beams), _beams(encoded, beams)
            request = StepRequest(
                step_inputs, encoded, needed, rows, steps, seed, level, sampling, every, deadline, began, encode_s
            )
            queue_timeout_s = queue.requests.queue_timeout_s(options.queue_timeout_s)
            with Lifetime(queue.requests, request, model.statistics, queue_timeout_s, waited_s=waited_s):
                self._dispatcher.add(queue)
                emission = await self._decoded(decoding, await request.next(), options, deadline)
                model.statistics.first_responses.add(time.perf_counter() - began)
                while not emission.last:
                    yield emission
                    emission = await self._decoded(decoding, await request.next(), options, deadline)
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

    async def _decoded(self, decoding: Decoding, emission: Emission, options: Options, deadline: Deadline) -> Emission:
        """The emission with what the loop's decoder makes of it, if it has one and the emission all its inputs."""
        if not decoding.applies(emission.outputs):
            return emission
        self._check_running()
        inputs, rows = decoding.inputs(emission.outputs)
        answer = await self._once(decoding.queue, inputs, decoding.made, rows, options, deadline, ends=False, held=True)
        return emission._replace(outputs=decoding.replaced(emission.outputs, answer.outputs))

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
        held: bool = False,
    ) -> Answer:
        assert queue is not None  # a model that runs once has one, and so have an encoder and a decoder
        # Where places are held for the request, it is not refused for want of them.
        level = queue.requests.level(options.priority) if held else self._admit(queue, rows, options)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        request = Request(inputs, outputs, rows, future, level, deadline, queue.signature(inputs))
        queue_timeout_s = queue.requests.queue_timeout_s(options.queue_timeout_s)
        with Lifetime(queue.requests, request, queue.model.statistics, queue_timeout_s, ends=ends):
            self._dispatcher.add(queue)
            try:
                return await future
            finally:
                # An error's traceback has this frame, and the future has the error: such a cycle would keep all that
                # the frames hold until the garbage collector runs, which is seldom.
                del request, future

    def refuse_all(self) -> None:
        """Refuse the waiting requests and all new ones with `Draining`; requests that run still get their answers."""
        self._stopped = True
        self._queues.fail(Draining(_STOPPED))

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
    if name not in model.card.beside:
        raise InvalidArgument(f"model {model.name!r} has no part {name[:80]!r}; it has {list(model.card.beside)}")
    return model.card.beside[name]


def _beams(tensors: Tensors, beams: int) -> Tensors:
    """Views of each tensor that repeat its one row for every beam."""
    return {name: np.broadcast_to(tensor, (beams, *tensor.shape[1:])) for name, tensor in tensors.items()}
