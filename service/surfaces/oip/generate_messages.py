"""The generate extension's messages: a JSON object whose keys are tensors' names.

A value has the nesting of one row or of several: for a tensor [-1, 28, 28], 28 lists of 28 numbers or a list of
such. A plain number is a row of a tensor with one number a row, [-1] or [-1, 1]. Answers are written alike: one row
as itself, several as their list, a single number as itself. A key that names no tensor is a parameter, as Triton reads
it; unknown parameters are ignored.
"""

from typing import Any

import numpy as np

from service.engine import Model
from service.engine.tensors import Tensor
from service.errors import InvalidArgument, TooLarge, Unsupported
from service.nearest import listed
from service.package import Loop, TensorSpec
from service.surfaces.json_fields import json_object, read_json, typed
from service.surfaces.oip.infer_messages import InferInput, InferRequest, InferResponse
from service.surfaces.oip.rest_messages import LARGE, check_lists
from service.surfaces.oip.tensors import check_finite
from service.tasks.detokenizer import Detokenizer

# Of tensors in the one answer to all steps; what is longer is for a stream.
MAX_GATHERED_BYTES = 16 << 20
_REQUEST_KEYS = {"id", "parameters"}
_ANSWER_KEYS = {"model_name", "model_version", "id", "parameters"}


def read_generate(body: bytes, model: Model) -> InferRequest:
    """The request in ``body``.

    Raises:
        InvalidArgument: naming the key or the tensor, what was sent and what is allowed.
        Unsupported: the model's tensors have names that these messages give another meaning.
    """
    specs = {spec.name: spec for spec in model.program.inputs}
    text_keys = {"text_output"} if isinstance(model.program, Loop) and model.program.text else set()
    given = {spec.name for spec in model.program.outputs}
    clashes = (specs.keys() & _REQUEST_KEYS) | (given & (_ANSWER_KEYS | text_keys))
    if clashes:
        raise Unsupported(f"model {model.name!r} has a tensor {min(clashes)!r}, which generate cannot name; use infer")
    check_lists(body, len(body))
    request = json_object("request", read_json(body))
    if "text_input" in request and "text_input" not in specs:
        raise InvalidArgument(f"model {model.name!r} has no input 'text_input'; it has {listed(sorted(specs))}")
    others = _REQUEST_KEYS | specs.keys()
    beside = {name: value for name, value in request.items() if name not in others}
    parameters = {**beside, **typed("request", request, "parameters", dict, {})}
    batched = model.program.max_batch > 0
    inputs = [_input(spec, request[name], batched) for name, spec in specs.items() if name in request]
    return InferRequest(
        model, typed("request", request, "id", str, ""), inputs, (), parameters, large=len(body) >= LARGE
    )


class GenerateAnswer:
    """Makes the messages that answer one request: an `event` for each step, or `gather` for all of them in one."""

    def __init__(self, model: Model, request_id: str) -> None:
        loop = model.program if isinstance(model.program, Loop) else None
        self._head = {"model_name": model.name, "model_version": model.version}
        if request_id:
            self._head["id"] = request_id
        self._batched = model.program.max_batch > 0
        self._detokenizer = Detokenizer(model, loop) if loop and loop.text else None
        self._tokens = loop.text.output if loop and loop.text else ""
        self._steps: dict[str, list[Any]] = {name: [] for name in loop.emitted} if loop else {}
        self._texts: list[str] = []
        self._bytes = 0

    def event(self, response: InferResponse) -> dict[str, Any]:
        """The message of one step.

        Raises:
            InvalidArgument: an output holds NaN or infinity.
        """
        outputs = {name: self._value(name, tensor) for name, tensor in response.outputs.items()}
        return self._message(response, outputs, self._say(response))

    def gather(self, response: InferResponse) -> dict[str, Any] | None:
        """Keep what a step emitted; after the last one, the message of all: lists over the steps, and the answers.

        Raises:
            TooLarge: it would be too long.
            InvalidArgument: an output holds NaN or infinity.
        """
        outputs = response.outputs
        self._bytes += sum(tensor.nbytes for tensor in outputs.values())
        if self._steps and self._bytes > MAX_GATHERED_BYTES:
            raise TooLarge(
                f"{response.step} steps gave {self._bytes} bytes of outputs; generate allows {MAX_GATHERED_BYTES}, "
                "generate_stream any number"
            )
        for name, values in self._steps.items():
            values.append(self._value(name, outputs[name]))
        said = self._say(response)
        self._texts = [text + piece for text, piece in zip(self._texts or [""] * len(said), said, strict=True)]
        if not response.final:
            return None
        gathered = {name: self._steps.get(name) or self._value(name, tensor) for name, tensor in outputs.items()}
        return self._message(response, gathered, self._texts)

    def _message(self, response: InferResponse, outputs: dict[str, Any], texts: list[str]) -> dict[str, Any]:
        message: dict[str, Any] = {**self._head, **outputs}
        if self._detokenizer is not None:
            message["text_output"] = texts[0] if len(texts) == 1 else texts
        if response.step is not None:
            message["parameters"] = {"step": response.step, "seed": response.seed}
        return message

    def _say(self, response: InferResponse) -> list[str]:
        return self._detokenizer.added_text(response.outputs[self._tokens]) if self._detokenizer else []

    def _value(self, name: str, tensor: Tensor) -> Any:
        check_finite(name, tensor, "ask for it by infer or ModelStreamInfer, as binary data")
        if tensor.dtype == np.float16:  # JSON's numbers hold it, its writer does not
            tensor = tensor.astype("f4")
        value = tensor[0, ...] if self._batched and len(tensor) == 1 else tensor
        if value.size == 1:
            return value.reshape(-1)[0]
        return value.tolist() if value.dtype.kind == "O" else np.ascontiguousarray(value)


def _input(spec: TensorSpec, value: Any, batched: bool) -> InferInput:
    shape = _nesting(value)
    rank = len(spec.shape)
    if batched and not shape and all(dim in (1, -1) for dim in spec.shape[1:]):
        shape = [1] * rank
    elif batched and len(shape) == rank - 1:
        shape = [1, *shape]
    elif len(shape) != rank:
        allowed = f"{rank - 1} (one row) or {rank} (rows)" if batched else f"{rank}"
        raise InvalidArgument(
            f"input {spec.name!r} is nested {len(shape)} lists deep; shape {list(spec.shape)} allows {allowed}"
        )
    return InferInput(spec.name, spec.datatype, shape, values=value if type(value) is list else [value])


def _nesting(value: Any) -> list[int]:
    """The lengths of the first list, of the first in it, and so on."""
    shape: list[int] = []
    while type(value) is list:
        shape.append(len(value))
        value = value[0] if value else None
    return shape
