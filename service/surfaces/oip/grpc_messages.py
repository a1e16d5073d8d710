"""The Open Inference Protocol's gRPC messages, to requests and from responses."""

from collections.abc import Mapping
from math import prod
from typing import Any

from protos import open_inference_pb2 as pb
from service.engine import Model
from service.errors import InvalidArgument
from service.surfaces.oip.infer_messages import (
    MAX_NAME,
    InferInput,
    InferRequest,
    InferResponse,
    RequestedOutput,
    check_tensor_count,
)
from service.surfaces.oip.tensors import MAX_RANK, datatype_of, raw_bytes

# So many take tens of milliseconds to read.
_MANY_VALUES = 1 << 18
# The field of an input's contents that holds each datatype.
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


def read_request(message: pb.ModelInferRequest, model: Model) -> InferRequest:
    """What the message asks of ``model``.

    Raises:
        InvalidArgument: naming the input, what was sent and what is allowed.
    """
    inputs, outputs = _read_inputs(message), message.outputs
    check_tensor_count("output", len(outputs))
    asked = [RequestedOutput(output.name, parameter_values(output.parameters)) for output in outputs] if outputs else ()
    parameters = message.parameters
    large = not message.raw_input_contents and any(len(each.values) >= _MANY_VALUES for each in inputs)
    values = parameter_values(parameters) if parameters else {}
    return InferRequest(model, message.id, inputs, asked, values, large)


def write_response(response: InferResponse) -> pb.ModelInferResponse:
    """The response with every output as raw bytes, which every client reads."""
    model = response.model
    message = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=response.id)
    for name, value in (("seed", response.seed), ("step", response.step)):
        if value is not None:
            message.parameters[name].int64_param = value
    outputs, contents = message.outputs, message.raw_output_contents
    for name, tensor in response.outputs.items():
        output = outputs.add()
        output.name = name
        output.datatype = datatype_of(tensor)
        output.shape.extend(tensor.shape)
        contents.append(raw_bytes(tensor))
    return message


def parameter_values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters' values by name; None for one that has none."""
    chosen = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: getattr(parameters[name], choice) if choice else None for name, choice in chosen.items()}


def _read_inputs(message: pb.ModelInferRequest) -> list[InferInput]:
    """The inputs, from raw_input_contents where there are any, else from each input's contents."""
    tensors, raw = message.inputs, message.raw_input_contents
    check_tensor_count("input", len(tensors))
    if not raw:
        return [_from_contents(tensor) for tensor in tensors]
    if len(raw) != len(tensors):
        raise InvalidArgument(f"the request has {len(raw)} raw_input_contents; its {len(tensors)} inputs need one each")
    inputs: list[InferInput] = []
    # By slices: a repeated field's iterator costs several times as much.
    for tensor, data in zip(tensors[:], raw[:], strict=True):
        if tensor.HasField("contents"):
            name = tensor.name[:MAX_NAME]
            raise InvalidArgument(f"input {name!r} has contents; beside raw_input_contents none are allowed")
        inputs.append(InferInput(tensor.name, tensor.datatype, tensor.shape[: MAX_RANK + 1], data))
    return inputs


def _from_contents(tensor: pb.ModelInferRequest.InferInputTensor) -> InferInput:
    shape = tensor.shape[: MAX_RANK + 1]
    field = _CONTENTS.get(tensor.datatype)
    values = getattr(tensor.contents, field) if field else []
    if field and not values and prod(shape):
        sent = [f.name for f, _ in tensor.contents.ListFields()]
        name, has = tensor.name[:MAX_NAME], ", ".join(sent) or "no contents"
        raise InvalidArgument(f"input {name!r} has {has}; {tensor.datatype} must be in {field}")
    return InferInput(tensor.name, tensor.datatype, shape, values=values)
