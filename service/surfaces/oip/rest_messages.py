"""The Open Inference Protocol's REST messages: JSON, with or without binary tensors behind it.

Keys and parameters that are not known here are ignored, as other servers of the protocol do: its clients send some of
their own, KServe's ``model_name`` among them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from service.engine import Model
from service.engine.tensors import Tensor
from service.errors import InvalidArgument
from service.surfaces.json_fields import json_object, read_json, typed
from service.surfaces.oip.infer_messages import (
    MAX_NAME,
    InferInput,
    InferRequest,
    InferResponse,
    RequestedOutput,
    check_tensor_count,
)
from service.surfaces.oip.tensors import MAX_RANK, check_finite, datatype_of, raw_bytes

JSON_LENGTH = "Inference-Header-Content-Length"
# JSON of so many bytes takes tens of milliseconds to read.
LARGE = 1 << 20
# While JSON is parsed, nothing else runs. Each list or object takes as long as a dozen numbers.
MAX_LISTS = 1 << 20


# Of each output by its name, and of "" for all others: whether it is answered as bytes behind the JSON.
BinaryOutputs = Mapping[str, bool]


def read_request(body: bytes, json_length: int | None, model: Model) -> tuple[InferRequest, BinaryOutputs]:
    """What ``body`` asks of ``model``, and how to answer it.

    Args:
        body: JSON, then the binary inputs in their order.
        json_length: the bytes of JSON; None for all, 0 where the body is nothing but the model's one input, one row.
        model: whose request it is.

    Raises:
        InvalidArgument: naming the key or the input, what was sent and what is allowed.
    """
    if json_length == 0:
        return InferRequest(model, "", [_only_input(body, model)], (), {}), {"": True}
    view = memoryview(body)
    length = len(body) if json_length is None else json_length
    if length > len(body):
        raise InvalidArgument(f"{JSON_LENGTH} is {length}; the body has {len(body)} bytes")
    check_lists(body, length)
    message = json_object("request", read_json(view[:length]))
    outputs, binary = _read_outputs(message)
    parameters: dict[str, Any] = typed("request", message, "parameters", dict, {})
    binary[""] = typed("request parameters", parameters, "binary_data_output", bool, False)
    request_id = typed("request", message, "id", str, "")
    inputs = _read_inputs(message, view[length:])
    return InferRequest(model, request_id, inputs, outputs, parameters, large=length >= LARGE), binary


def write_response(response: InferResponse, binary: BinaryOutputs) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where ``binary`` outputs follow it.

    Raises:
        InvalidArgument: an output to be written as JSON is FP16 or holds NaN or infinity.
    """
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, tensor in response.outputs.items():
        entry: dict[str, Any] = {"name": name, "datatype": datatype_of(tensor), "shape": tensor.shape}
        if binary.get(name, binary[""]):
            blobs.append(raw_bytes(tensor))
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            entry["data"] = _elements(name, tensor)
        outputs.append(entry)
    model = response.model
    message: dict[str, Any] = {"model_name": model.name, "model_version": model.version, "outputs": outputs}
    if response.id:
        message["id"] = response.id
    if response.seed is not None:
        message["parameters"] = {"seed": response.seed}
    header = orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *blobs]), len(header)) if blobs else (header, None)


def check_lists(body: bytes, json_length: int) -> None:
    """Check that the JSON does not have so many lists or objects that parsing it would hold up everything else.

    Raises:
        InvalidArgument: it has; brackets inside strings count, too.
    """
    for kind, bracket in (("lists", b"["), ("objects", b"{")) if json_length > MAX_LISTS else ():
        if (count := body.count(bracket, 0, json_length)) > MAX_LISTS:
            raise InvalidArgument(
                f"the JSON has {count} {kind}; at most {MAX_LISTS} are allowed: send 'data' flat, or as bytes"
            )


def _only_input(body: bytes, model: Model) -> InferInput:
    if len(model.program.inputs) != 1:
        names = [spec.name for spec in model.program.inputs]
        raise InvalidArgument(f"model {model.name!r} has the inputs {names}; a raw body is for models with one")
    spec = model.program.inputs[0]
    if -1 in spec.shape[1:]:
        raise InvalidArgument(f"model {model.name!r}: input shape {list(spec.shape)} is not fixed; a raw body has none")
    shape = (1, *spec.shape[1:])
    if spec.datatype == "BYTES":  # the text is the body itself, without a length before it
        return InferInput(spec.name, spec.datatype, shape, values=[body])
    return InferInput(spec.name, spec.datatype, shape, raw=body)


def _read_inputs(message: dict[str, Any], blobs: memoryview) -> list[InferInput]:
    items: list[Any] = typed("request", message, "inputs", list, [])
    check_tensor_count("input", len(items))
    inputs: list[InferInput] = []
    for item in items:
        entry = json_object("input", item)
        name = typed("input", entry, "name", str)
        where = f"input {name[:MAX_NAME]!r}"
        datatype, shape = typed(where, entry, "datatype", str), _read_shape(where, entry)
        size = typed(where, _parameters(where, entry), "binary_data_size", int, None)
        if size is None:
            inputs.append(InferInput(name, datatype, shape, values=typed(where, entry, "data", list)))
            continue
        if entry.get("data") is not None:
            raise InvalidArgument(f"{where} has both 'data' and 'binary_data_size'; one of them is allowed")
        if not 0 <= size <= len(blobs):
            raise InvalidArgument(f"{where}: binary_data_size is {size}; {len(blobs)} bytes are left in the body")
        inputs.append(InferInput(name, datatype, shape, blobs[:size]))
        blobs = blobs[size:]
    if blobs:
        raise InvalidArgument(f"{len(blobs)} bytes follow the last binary input; the body must end with it")
    return inputs


def _read_shape(where: str, entry: dict[str, Any]) -> list[int]:
    """The shape, cut where it is longer than any tensor's."""
    shape: list[Any] = typed(where, entry, "shape", list)[: MAX_RANK + 1]
    if not {int}.issuperset(map(type, shape)):
        raise InvalidArgument(f"{where}: 'shape' must be a list of whole numbers")
    return shape


def _read_outputs(message: dict[str, Any]) -> tuple[Sequence[RequestedOutput], dict[str, bool]]:
    """The outputs asked for, and of which it is said whether they are answered as bytes."""
    items: list[Any] = typed("request", message, "outputs", list, [])
    check_tensor_count("output", len(items))
    outputs: list[RequestedOutput] = []
    binary: dict[str, bool] = {}
    for item in items:
        entry = json_object("output", item)
        name = typed("output", entry, "name", str)
        where = f"output {name[:MAX_NAME]!r}"
        parameters = _parameters(where, entry)
        if "binary_data" in parameters:
            binary[name] = typed(where, parameters, "binary_data", bool)
        outputs.append(RequestedOutput(name, parameters))
    return outputs, binary


def _parameters(where: str, entry: dict[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = typed(where, entry, "parameters", dict, {})
    return parameters


def _elements(name: str, tensor: Tensor) -> Tensor | list[str]:
    if tensor.dtype.kind == "O":
        texts: list[str] = tensor.ravel().tolist()
        return texts
    if tensor.dtype == np.float16:
        raise InvalidArgument(f"output {name!r} is FP16, which has no JSON form; ask for it with binary_data")
    check_finite(name, tensor, "ask for it with binary_data")
    return np.ascontiguousarray(tensor).ravel()
