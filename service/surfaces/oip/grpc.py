"""The Open Inference Protocol over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from math import prod
from typing import Any

from google.protobuf.json_format import ParseDict

from protos import open_inference_pb2 as pb
from protos.open_inference_pb2_grpc import GRPCInferenceServiceServicer
from service import __version__
from service.config import Config
from service.engine import Answer, Engine, Model
from service.engine.options import DEFAULTS
from service.engine.tensors import Tensor
from service.errors import InvalidArgument, UnknownModel
from service.surfaces.gate import Call, Gate, Kind
from service.surfaces.grpc.gate import Context, gated
from service.surfaces.oip.classification import PARAMETER, checked_count, classified
from service.surfaces.oip.model import configuration, metadata, statistics
from service.surfaces.oip.parameters import read_options
from service.surfaces.oip.repository_grpc import RepositoryMethods
from service.surfaces.oip.responses import responses
from service.surfaces.oip.stream import FINAL, StreamRequest, infer_stream
from service.surfaces.oip.tensors import (
    EXTENSIONS,
    check_tensor_count,
    checked_name,
    datatype_of,
    listed_tensor,
    raw_bytes,
    raw_tensor,
)

SURFACE = "oip_grpc"
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class OipGrpc(RepositoryMethods, GRPCInferenceServiceServicer):
    """`inference.GRPCInferenceService`."""

    def __init__(self, engine: Engine, gate: Gate, config: Config) -> None:
        self._engine = engine
        self._gate = gate
        self._config = config

    @gated(SURFACE, Kind.INFERENCE)
    async def ModelInfer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:  # noqa: N802
        """Tensors in, tensors out."""
        model = self._engine.repository.get(request.model_name, request.model_version)
        call.for_model(model)
        options = read_options(values(request.parameters), model) if request.parameters else DEFAULTS
        options = options._replace(deadline=call.deadline)
        inputs = read_inputs(request)
        outputs, classes = read_outputs(request)
        answer = await self._engine.infer(model, model.version, inputs, outputs, options)
        call.record_stages(answer.queue_s, answer.compute_s)
        return write_answer(model, request.id, classified(model, answer, classes) if classes else answer)

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[StreamRequest], context: Context
    ) -> None:
        """Requests as they come, each answered as often as its model does."""
        await infer_stream(SURFACE, self._gate, context, self._responses, self._config.timeout_s).serve(requests)

    async def _responses(self, request: StreamRequest, call: Call) -> AsyncGenerator[pb.ModelStreamInferResponse]:
        if isinstance(request, InvalidArgument):
            raise request
        model = self._engine.repository.get(request.model_name, request.model_version)
        call.for_model(model)
        options = read_options(values(request.parameters), model)._replace(deadline=call.deadline)
        inputs = read_inputs(request)
        outputs, classes = read_outputs(request)
        async with aclosing(responses(self._engine, model, inputs, outputs, options, call)) as found:
            async for answer, step, final in found:
                counts = {name: count for name, count in classes.items() if name in answer.outputs}
                response = write_answer(model, request.id, classified(model, answer, counts) if counts else answer)
                response.parameters[FINAL].bool_param = final
                if step is not None:
                    response.parameters["step"].int64_param = step
                yield pb.ModelStreamInferResponse(infer_response=response)

    @gated(SURFACE, Kind.READ)
    async def ServerLive(self, request: pb.ServerLiveRequest, call: Call) -> pb.ServerLiveResponse:  # noqa: N802
        """Always, where it can be answered at all."""
        return pb.ServerLiveResponse(live=True)

    @gated(SURFACE, Kind.READ)
    async def ServerReady(self, request: pb.ServerReadyRequest, call: Call) -> pb.ServerReadyResponse:  # noqa: N802
        """Whether requests are taken."""
        return pb.ServerReadyResponse(ready=self._gate.ready)

    @gated(SURFACE, Kind.READ)
    async def ModelReady(self, request: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:  # noqa: N802
        """Whether requests for one model are taken; they are not for one that is not served."""
        try:
            self._engine.repository.get(request.name, request.version)
        except UnknownModel:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self._gate.serving)

    @gated(SURFACE, Kind.READ)
    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, call: Call
    ) -> pb.ServerMetadataResponse:
        """Name, version and extensions."""
        return pb.ServerMetadataResponse(name="lectorium", version=__version__, extensions=EXTENSIONS)

    @gated(SURFACE, Kind.READ)
    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, call: Call
    ) -> pb.ModelMetadataResponse:
        """The model's versions and tensors."""
        model = self._engine.repository.get(request.name, request.version)
        versions = [model.version] if request.version else self._engine.repository.versions(model.name)
        return ParseDict(metadata(model, versions), pb.ModelMetadataResponse())

    @gated(SURFACE, Kind.READ)
    async def ModelConfig(self, request: pb.ModelConfigRequest, call: Call) -> pb.ModelConfigResponse:  # noqa: N802
        """How the model is served."""
        model = self._engine.repository.get(request.name, request.version)
        found = configuration(model, self._engine.repository.policy(model.name), self._config)
        return ParseDict({"config": found}, pb.ModelConfigResponse())

    @gated(SURFACE, Kind.READ)
    async def ModelStatistics(  # noqa: N802
        self, request: pb.ModelStatisticsRequest, call: Call
    ) -> pb.ModelStatisticsResponse:
        """What the models have done since they were loaded."""
        models = self._engine.repository.select(request.name, request.version)
        return ParseDict({"model_stats": [statistics(model) for model in models]}, pb.ModelStatisticsResponse())


def read_inputs(request: pb.ModelInferRequest) -> dict[str, Tensor]:
    """The request's inputs, from raw_input_contents where there are any, else from each input's contents.

    Raises:
        InvalidArgument: naming the input, what came and what was wanted.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidArgument(f"{len(raw)} raw_input_contents came for {len(request.inputs)} inputs")
    check_tensor_count("input", len(request.inputs))
    inputs: dict[str, Tensor] = {}
    for i, tensor in enumerate(request.inputs):
        name = checked_name("input", tensor.name)
        if name in inputs:
            raise InvalidArgument(f"input {name!r} came twice")
        if raw and tensor.HasField("contents"):
            raise InvalidArgument(f"input {name!r} has contents; with raw_input_contents no input may")
        inputs[name] = raw_tensor(name, tensor.datatype, tensor.shape, raw[i]) if raw else _from_contents(tensor)
    return inputs


def values(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    """The parameters' values by name; None for one that has none."""
    chosen = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: getattr(parameters[name], choice) if choice else None for name, choice in chosen.items()}


def read_outputs(request: pb.ModelInferRequest) -> tuple[tuple[str, ...], dict[str, int]]:
    """The names of the wanted outputs (empty: all), and of how many classes those wanted as classifications.

    Raises:
        InvalidArgument: one is asked for twice, or as a classification of no class.
    """
    check_tensor_count("output", len(request.outputs))
    names: dict[str, None] = {}
    classes: dict[str, int] = {}
    for output in request.outputs:
        name = checked_name("output", output.name)
        if name in names:
            raise InvalidArgument(f"output {name!r} is asked for twice")
        if PARAMETER in output.parameters:
            classes[name] = _class_count(name, output.parameters[PARAMETER])
        names[name] = None
    return tuple(names), classes


def write_answer(model: Model, request_id: str, answer: Answer) -> pb.ModelInferResponse:
    """The answer with every output raw: the form every client reads."""
    response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=request_id)
    if answer.seed is not None:
        response.parameters["seed"].int64_param = answer.seed
    for name, tensor in answer.outputs.items():
        response.outputs.add(name=name, datatype=datatype_of(tensor), shape=tensor.shape)
        response.raw_output_contents.append(raw_bytes(tensor))
    return response


def _from_contents(tensor: pb.ModelInferRequest.InferInputTensor) -> Tensor:
    field = _CONTENTS.get(tensor.datatype)
    values = list(getattr(tensor.contents, field)) if field else []
    if field and not values and prod(tensor.shape):
        came = [f.name for f, _ in tensor.contents.ListFields()]
        raise InvalidArgument(f"input {tensor.name!r}: {tensor.datatype} is read from {field}, {came} came")
    return listed_tensor(tensor.name, tensor.datatype, tensor.shape, values)


def _class_count(output: str, wanted: pb.InferParameter) -> int:
    if wanted.WhichOneof("parameter_choice") != "int64_param":
        raise InvalidArgument(f"output {output!r}: {PARAMETER} wants an int64_param")
    return checked_count(output, wanted.int64_param)
