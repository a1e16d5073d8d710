"""The Open Inference Protocol's REST messages: JSON, with or without binary tensors behind it.

Keys and parameters that are not known here are passed over, as other servers of the protocol do: its clients send
some of their own, KServe's ``model_name`` among them.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import orjson

from service.engine import Answer, Model, Options
from service.engine.options import DEFAULTS
from service.engine.tensors import Tensor
from service.errors import InvalidArgument
from service.surfaces.oip.classification import PARAMETER, checked_count
from service.surfaces.oip.parameters import read_options
from service.surfaces.oip.tensors import (
    check_finite,
    check_tensor_count,
    checked_name,
    datatype_of,
    listed_tensor,
    raw_bytes,
    raw_tensor,
)


class InferRequest(NamedTuple):
    """A request, read: ``binary`` says of each wanted output, or of "" for all others, how it is answered.

    ``classes`` says of how many classes the outputs that are wanted as classifications are to be.
    """

    id: str
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    binary: dict[str, bool]
    classes: dict[str, int]
    options: Options = DEFAULTS


def read_request(body: bytes, json_length: int | None, model: Model) -> InferRequest:
    """What ``body`` asks of ``model``: ``json_length`` bytes of JSON (None: all), then the binary inputs in order.

    Raises:
        InvalidArgument: naming the key or the tensor, what came and what was wanted.
    """
    view = memoryview(body)
    length = len(body) if json_length is None else json_length
    if length > len(body):
        raise InvalidArgument(f"Inference-Header-Content-Length is {length}, the body has {len(body)} bytes")
    request = json_object("request", read_json(view[:length]))
    request_id = typed("request", request, "id", str, "")
    parameters = typed("request", request, "parameters", dict, {})
    outputs, binary, classes = _read_outputs(request)
    binary[""] = typed("request parameters", parameters, "binary_data_output", bool, False)
    options = read_options(parameters, model)
    return InferRequest(request_id, _read_inputs(request, view[length:]), outputs, binary, classes, options)


def read_raw_request(body: bytes, model: Model) -> InferRequest:
    """A body that is nothing but the one input of ``model``, one row.

    Raises:
        InvalidArgument: the model has several inputs, or the size is another.
    """
    if len(model.program.inputs) != 1:
        raise InvalidArgument(f"model {model.name!r} has several inputs; a raw body is for models with one")
    spec = model.program.inputs[0]
    if -1 in spec.shape[1:]:
        raise InvalidArgument(f"model {model.name!r}: input shape {list(spec.shape)} is not fixed; a raw body has none")
    shape = (1, *spec.shape[1:])
    # A text is the body itself, without a length before it.
    text = spec.datatype == "BYTES"
    given = (
        listed_tensor(spec.name, "BYTES", shape, [body]) if text else raw_tensor(spec.name, spec.datatype, shape, body)
    )
    return InferRequest("", {spec.name: given}, (), {"": True}, {})


def write_answer(model: Model, request: InferRequest, answer: Answer) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where binary outputs follow it.

    Raises:
        InvalidArgument: an output to be written as JSON is FP16 or holds NaN or infinity.
    """
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, tensor in answer.outputs.items():
        entry: dict[str, Any] = {"name": name, "datatype": datatype_of(tensor), "shape": tensor.shape}
        if request.binary.get(name, request.binary[""]):
            blobs.append(raw_bytes(tensor))
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            entry["data"] = _elements(name, tensor)
        outputs.append(entry)
    message: dict[str, Any] = {"model_name": model.name, "model_version": model.version, "outputs": outputs}
    if request.id:
        message["id"] = request.id
    if answer.seed is not None:
        message["parameters"] = {"seed": answer.seed}
    header = orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *blobs]), len(header)) if blobs else (header, None)


def _elements(name: str, tensor: Tensor) -> Tensor | list[str]:
    if tensor.dtype.kind == "O":
        texts: list[str] = tensor.ravel().tolist()
        return texts
    if tensor.dtype == np.float16:
        raise InvalidArgument(f"output {name!r} is FP16, which JSON has no form for; ask for it with binary_data")
    check_finite(name, tensor, "ask for it with binary_data")
    return np.ascontiguousarray(tensor).ravel()


def read_json(data: memoryview | bytes) -> Any:
    """The value in ``data``.

    Raises:
        InvalidArgument: it is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"the request is no JSON: {error}") from error


def _read_inputs(request: dict[str, Any], blobs: memoryview) -> dict[str, Tensor]:
    inputs: dict[str, Tensor] = {}
    items: list[Any] = typed("request", request, "inputs", list, [])
    check_tensor_count("input", len(items))
    for item in items:
        entry = json_object("input", item)
        name = checked_name("input", typed("input", entry, "name", str))
        if name in inputs:
            raise InvalidArgument(f"input {name!r} came twice")
        inputs[name], blobs = _read_input(name, entry, blobs)
    if blobs:
        raise InvalidArgument(f"{len(blobs)} bytes follow the last binary input")
    return inputs


def _read_input(name: str, entry: dict[str, Any], blobs: memoryview) -> tuple[Tensor, memoryview]:
    """The tensor, and what follows its bytes."""
    where = f"input {name!r}"
    datatype = typed(where, entry, "datatype", str)
    shape = _shape(where, entry)
    size = typed(where, _parameters(where, entry), "binary_data_size", int, None)
    if size is None:
        return listed_tensor(name, datatype, shape, typed(where, entry, "data", list)), blobs
    if entry.get("data") is not None:
        raise InvalidArgument(f"{where} has both 'data' and 'binary_data_size'")
    if not 0 <= size <= len(blobs):
        raise InvalidArgument(f"{where}: binary_data_size is {size}, {len(blobs)} bytes are left in the body")
    return raw_tensor(name, datatype, shape, blobs[:size]), blobs[size:]


def _shape(where: str, entry: dict[str, Any]) -> list[int]:
    shape: list[Any] = typed(where, entry, "shape", list)
    if not {int}.issuperset(map(type, shape)):
        raise InvalidArgument(f"{where}: 'shape' is a list of whole numbers")
    return shape


def _read_outputs(request: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, bool], dict[str, int]]:
    names: dict[str, None] = {}
    binary: dict[str, bool] = {}
    classes: dict[str, int] = {}
    items: list[Any] = typed("request", request, "outputs", list, [])
    check_tensor_count("output", len(items))
    for item in items:
        entry = json_object("output", item)
        name = checked_name("output", typed("output", entry, "name", str))
        if name in names:
            raise InvalidArgument(f"output {name!r} is asked for twice")
        names[name] = None
        where = f"output {name!r}"
        parameters = _parameters(where, entry)
        if "binary_data" in parameters:
            binary[name] = typed(where, parameters, "binary_data", bool)
        if PARAMETER in parameters:
            classes[name] = checked_count(name, typed(where, parameters, PARAMETER, int))
    return tuple(names), binary, classes


def _parameters(where: str, entry: dict[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = typed(where, entry, "parameters", dict, {})
    return parameters


def json_object(where: str, value: Any, known: Collection[str] | None = None) -> dict[str, Any]:
    """``value``, if it is an object with no other keys than ``known``; with any keys where that is None.

    Raises:
        InvalidArgument: it is not; the message says ``where``.
    """
    if type(value) is not dict:
        raise InvalidArgument(f"{where}: a JSON object is wanted, {_kind(value)} came")
    unknown = next((key for key in value if known is not None and key not in known), None)
    if unknown is not None:
        raise InvalidArgument(f"{where}: unknown key {unknown[:80]!r}; known are {sorted(known or ())}")
    return value


_REQUIRED: Any = object()


def typed(where: str, entry: dict[str, Any], key: str, kind: type, default: Any = _REQUIRED) -> Any:
    """The value at ``key``, of that kind; ``default`` where it is missing or null.

    Raises:
        InvalidArgument: it is of another kind, or missing where there is no default.
    """
    value = entry.get(key, default)
    if value is None and default is not _REQUIRED:  # clients that write every optional key write null
        return default
    if value is _REQUIRED:
        raise InvalidArgument(f"{where}: {key!r} is missing")
    if type(value) is not kind:
        raise InvalidArgument(f"{where}: {key!r} wants {_NAMES[kind]}, {_kind(value)} came")
    return value


_NAMES = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    float: "a number",
}


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), "null")
