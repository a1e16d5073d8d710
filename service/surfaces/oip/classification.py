"""The classification extension: an output answered as its k greatest values, each ``value:index:label``."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from service.engine import Answer, Model
from service.engine.tensors import Tensor
from service.errors import InvalidArgument
from service.surfaces.oip.bytes_tensors import MAX_ELEMENTS

PARAMETER = "classification"


def checked_count(output: str, count: int) -> int:
    """``count``, which must ask for one class at least.

    Raises:
        InvalidArgument: it does not.
    """
    if count < 1:
        raise InvalidArgument(f"output {output!r}: {PARAMETER} is {count}; 1 or more is wanted")
    return count


def classified(model: Model, answer: Answer, counts: Mapping[str, int]) -> Answer:
    """The answer with each output in ``counts`` as BYTES (rows, k), the greatest first; k is at most its size.

    Raises:
        InvalidArgument: one of them holds texts, or too many classes are wanted at once.
    """
    labels = model.package.output_labels
    for name, count in counts.items():
        tensor = answer.outputs[name]
        if tensor.dtype.kind == "O":
            raise InvalidArgument(f"output {name!r} is BYTES; {PARAMETER} is of numbers")
        rows = len(tensor) if tensor.ndim else 1
        if (wanted := min(count * rows, tensor.size)) > MAX_ELEMENTS:
            raise InvalidArgument(
                f"output {name!r}: {wanted} classes of {rows} rows are wanted; at most {MAX_ELEMENTS} are answered"
            )
    top = {name: _top(answer.outputs[name], count, labels.get(name, ())) for name, count in counts.items()}
    return answer._replace(outputs={**answer.outputs, **top})


def _top(tensor: Tensor, count: int, labels: Sequence[str]) -> Tensor:
    tensor = np.atleast_1d(tensor)
    rows = tensor.reshape(len(tensor), prod(tensor.shape[1:])).astype("f8")  # (rows, classes)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :count]  # (rows, k)
    texts = np.empty(best.shape, object)
    for place, index in np.ndenumerate(best):
        label = f":{labels[int(index)]}" if labels else ""
        texts[place] = f"{rows[place[0], index]:f}:{index}{label}"
    return texts
