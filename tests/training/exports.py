"""Each network is traced once: that takes seconds, and most tests are of what is done with the graph."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from torch import nn

remembers = True  # not where a test is of what tracing again gives
_traced: dict[bytes, bytes] = {}
_export = torch.onnx.export


class Traced(NamedTuple):
    """What of torch's program an export reads."""

    graph: bytes

    @property
    def model_proto(self) -> onnx.ModelProto:
        """One of its own for everybody who asks."""
        return onnx.ModelProto.FromString(self.graph)


class _Fingerprint(pickle.Pickler):
    """The same bytes for the same network: pickle alone would write where in memory its tensors lie."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._places: dict[int, int] = {}

    def persistent_id(self, obj: object) -> object:
        if not isinstance(obj, torch.Tensor):
            return None
        content = obj.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        shared = self._places.setdefault(obj.data_ptr(), len(self._places))  # tied weights are others than equal ones
        return str(obj.dtype), tuple(obj.shape), shared, hashlib.sha256(content).digest()


def fingerprint(*what: object) -> bytes:
    """Of networks, tensors and all else that can be pickled."""
    file = io.BytesIO()
    _Fingerprint(file).dump(what)
    return hashlib.sha256(file.getvalue()).digest()


def export_once(
    module: nn.Module, examples: tuple[torch.Tensor, ...], file: Path | None = None, **options: Any
) -> Traced | torch.onnx.ONNXProgram | None:
    """Replaces `torch.onnx.export`; an export to a ``file`` is made anew."""
    if file is not None:
        return _export(module, examples, file, **options)
    key = fingerprint(type(module), module, examples, repr(options))
    if key not in _traced or not remembers:
        program = _export(module, examples, **options)
        assert program is not None
        _traced[key] = program.model_proto.SerializeToString()
    return Traced(_traced[key])
