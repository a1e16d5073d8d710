"""The classification extension: an output answered as its k greatest values, each ``value:index:label``."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from service.engine import Model
from service.engine.tensors import Tensor, Tensors
from service.errors import InvalidArgument
from service.surfaces.json_fields import shown
from service.surfaces.oip.bytes_tensors import MAX_ELEMENTS
from service.surfaces.oip.infer_messages import RequestedOutput

PARAMETER = "classification"


def class_counts(outputs: Sequence[RequestedOutput]) -> dict[str, int]:
    """How many classes are asked for, of each output that is asked for as a classification.

    Raises:
        InvalidArgument: the parameter is not a whole number, or under 1.
    """
    counts = {output.name: output.parameters[PARAMETER] for output in outputs if PARAMETER in output.parameters}
    for name, count in counts.items():
        if type(count) is not int or count < 1:
            raise InvalidArgument(f"output {name!r}: {PARAMETER} is {shown(count)}; it must be a whole number from 1")
    return counts


def classified(model: Model, outputs: Tensors, counts: Mapping[str, int]) -> Tensors:
    """The outputs, each in ``counts`` as BYTES (rows, k), the greatest first; k is at most its size.

    Raises:
        InvalidArgument: one of them holds texts, or they are too many classes at once.
    """
    if not counts:
        return outputs
    labels = model.package.tensor_labels
    for name, count in counts.items():
        tensor = outputs[name]
        if tensor.dtype.kind == "O":
            raise InvalidArgument(f"output {name!r} is BYTES; {PARAMETER} is for numbers")
        rows = len(tensor) if tensor.ndim else 1
        if (asked := min(count * rows, tensor.size)) > MAX_ELEMENTS:
            raise InvalidArgument(
                f"output {name!r}: {PARAMETER} asks for {asked} classes of {rows} rows; {MAX_ELEMENTS} are allowed"
            )
    top = {name: _top(outputs[name], count, labels.get(name, ())) for name, count in counts.items()}
    return {**outputs, **top}


def _top(tensor: Tensor, count: int, labels: Sequence[str]) -> Tensor:
    tensor = np.atleast_1d(tensor)
    rows = tensor.reshape(len(tensor), prod(tensor.shape[1:])).astype("f8")  # (rows, classes)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :count]  # (rows, k)
    texts = np.empty(best.shape, object)
    for place, index in np.ndenumerate(best):
        label = f":{labels[int(index)]}" if labels else ""
        texts[place] = f"{rows[place[0], index]:f}:{index}{label}"
    return texts
