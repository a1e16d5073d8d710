"""The Open Inference Protocol's data plane: what REST and gRPC both answer with, in the protocol's terms.

The two transports only convert: a message to an `InferRequest`, an `InferResponse` or a JSON form to a message.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from service import __version__
from service.config import Config
from service.engine import Engine, Model
from service.engine.tensors import Tensors
from service.package import Loop
from service.surfaces.gate import Call, Gate
from service.surfaces.oip.classification import class_counts, classified
from service.surfaces.oip.infer_messages import InferRequest, InferResponse
from service.surfaces.oip.model import configuration, metadata, statistics
from service.surfaces.oip.parameters import read_options
from service.surfaces.oip.repository import RepositoryPlane

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "generate",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "statistics",
)


class DataPlane:
    """Answers for all models that ``engine`` serves; ``repository`` is what changes them.

    Requests have passed the gate, each as a `Call`.
    """

    def __init__(self, engine: Engine, gate: Gate, config: Config) -> None:
        self._engine = engine
        self._gate = gate
        self._config = config
        self.repository = RepositoryPlane(engine, config)

    def model_for(self, call: Call, name: str, version: str | None) -> Model:
        """The model that a request is for; ``call`` is counted as its own from now on.

        Raises:
            UnknownModel: no such model, or no such version of it, is served.
        """
        model = self._engine.repository.get(name, version)
        call.for_model(model)
        return model

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """Answer a request once.

        Raises:
            LectoriumError: the request is wrong, or as `Engine.infer`.
        """
        model = request.model
        options = read_options(request.parameters, model, call.deadline)
        inputs = await _tensors(request) if request.large else request.tensors()
        names = request.output_names()
        counts = class_counts(request.outputs) if request.outputs else {}
        answer = await self._engine.infer(model, model.version, inputs, names, options)
        call.record_stages(answer.queue_s, answer.compute_s)
        outputs = classified(model, answer.outputs, counts) if counts else answer.outputs
        return InferResponse(model, request.id, outputs, answer.seed)

    async def stream(self, request: InferRequest, call: Call) -> AsyncGenerator[InferResponse]:
        """Answer a request as often as its model does: a loop at each step, a graph once.

        A step that emits none of the outputs asked for is not answered. Wrap it in `contextlib.aclosing`.

        Raises:
            LectoriumError: the request is wrong, or as `Engine.infer` and `Engine.steps`.
        """
        model = request.model
        if not isinstance(model.program, Loop):
            yield await self.infer(request, call)
            return
        options = read_options(request.parameters, model, call.deadline)
        inputs = await _tensors(request) if request.large else request.tensors()
        names = request.output_names()
        counts = class_counts(request.outputs)
        began = time.perf_counter()
        async with aclosing(self._engine.steps(model, model.version, inputs, names, options)) as emissions:
            async for step, outputs, last, seed, queue_s in emissions:
                if last:
                    call.record_stages(queue_s, time.perf_counter() - began - queue_s)
                if outputs:
                    call.record_emission()
                    emitted = {name: count for name, count in counts.items() if name in outputs}
                    yield InferResponse(model, request.id, classified(model, outputs, emitted), seed, step, last)

    def server_ready(self) -> dict[str, Any]:
        """ServerReadyResponse in its JSON form, as all that follow, and the ``reason`` where it is not ready."""
        reason = self._gate.why_not_ready
        return {"reason": reason, "ready": False} if reason else {"ready": True}

    def model_ready(self, name: str, version: str | None) -> dict[str, Any]:
        """ModelReadyResponse: whether requests for the model are taken, with its name and version.

        Raises:
            UnknownModel: it is not served.
        """
        model = self._engine.repository.get(name, version)
        return {"name": model.name, "version": model.version, "ready": self._gate.serving}

    def server_metadata(self) -> dict[str, Any]:
        """ServerMetadataResponse: name, version and extensions."""
        return {"name": "lectorium", "version": __version__, "extensions": list(EXTENSIONS)}

    def model_metadata(self, name: str, version: str | None) -> dict[str, Any]:
        """ModelMetadataResponse: the model's tensors, and its versions, or the one asked for.

        Raises:
            UnknownModel: it is not served.
        """
        model = self._engine.repository.get(name, version)
        return metadata(model, [model.version] if version else self._engine.repository.versions(name))

    def model_config(self, name: str, version: str | None) -> dict[str, Any]:
        """ModelConfig: how the model is served.

        Raises:
            UnknownModel: it is not.
        """
        model = self._engine.repository.get(name, version)
        return configuration(model, self._engine.repository.policy(name), self._config)

    def model_statistics(self, name: str | None, version: str | None) -> dict[str, Any]:
        """ModelStatisticsResponse: what a model, or each where none is named, has done since it was loaded.

        Raises:
            UnknownModel: the model is not served.
        """
        return {"model_stats": [statistics(model) for model in self._engine.repository.select(name, version)]}


async def _tensors(request: InferRequest) -> Tensors:
    """The tensors, read by a thread: between the steps of that, the event loop gets Python's lock and goes on."""
    return await asyncio.to_thread(request.tensors)
