"""Writes a module as one ONNX file, and checks that it computes what torch does."""

import inspect
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from torch import nn

from training.errors import ExportError

OPSET = 20
PARITY_LIMIT = 1e-5

Floats = npt.NDArray[np.float32]
Answers = dict[str, npt.NDArray[Any]]


class Exported(Protocol):
    """A module to export, which names its ``outputs``."""

    @property
    def outputs(self) -> Sequence[str]:
        """The names of the outputs, in order."""

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensors of ``outputs``."""

    def eval(self) -> "Exported":
        """The module itself, in evaluation mode."""


def trace(
    module: nn.Module,
    examples: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, Any]] = MappingProxyType({}),
) -> onnx.ModelProto:
    """``module`` as a graph for any batch size, with inputs like ``examples`` and outputs named ``outputs``.

    ``free`` has further dimensions of inputs that may have any size.
    """
    # torch 2.13 caches how it ran a recurrent layer for one length, and would fix that length in the graph.
    for layer in (torch.ops.aten.gru.input, torch.ops.aten.lstm.input):
        layer._dispatch_cache.clear()
    batch = torch.export.Dim("batch")
    # The exporter logs a line for each torchvision operator that it cannot register; we have no torchvision.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    # And one for each empty list among a node's attributes, such as max-unpooling's padding.
    logging.getLogger("onnx_ir._convenience").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch 2.13 copies a tree whose class its own pytree module has deprecated.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        # Tracing torch's recurrent layers uses a deprecated check, and they keep a second list of their weights.
        warnings.filterwarnings("ignore", "_check_is_size will be removed", FutureWarning)
        warnings.filterwarnings("ignore", "The tensor attributes self.recurrence._flat_weights", UserWarning)
        # Several inputs share the batch, or another free dimension.
        warnings.filterwarnings("ignore", ".*The axis name: .* will not be used", UserWarning)
        program = torch.onnx.export(
            module.eval(),
            tuple(examples.values()),
            dynamo=True,
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_shapes=_dynamic(module, [{0: batch, **free.get(name, {})} for name in examples], list(examples)),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    strip(model)
    return model


def _dynamic(module: nn.Module, free: Sequence[Mapping[int, Any]], names: Sequence[str]) -> Any:
    """The ``free`` dimensions of each input, including those that ``module`` takes as one starred argument."""
    parameters = inspect.signature(module.forward).parameters.values()
    plain = [each.name for each in parameters if each.kind is not each.VAR_POSITIONAL]
    if len(plain) == len(parameters):
        return dict(zip(names, free, strict=True))
    return (*free[: len(plain)], tuple(free[len(plain) :]))


def save(model: onnx.ModelProto, path: Path) -> None:
    """Check ``model`` and write it; the same model gives the same bytes."""
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's debugging information, such as stack traces with file names."""
    del model.graph.value_info[:]
    _strip(model)
    _strip(model.graph)
    graph = model.graph
    _strip_all(graph.node, graph.input, graph.output, graph.initializer)
    for function in model.functions:
        _strip(function)
        _strip_all(function.node)


def _strip_all(*groups: Iterable[Any]) -> None:
    for group in groups:
        for message in group:
            _strip(message)


def _strip(message: Any) -> None:
    del message.metadata_props[:]
    message.ClearField("doc_string")


def open_onnx(path: Path) -> ort.InferenceSession:
    """A session of the file ``path`` on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check_parity(differences: dict[str, float]) -> None:
    """Raise ExportError if a difference is above 1e-5."""
    for batch, difference in differences.items():
        if not difference <= PARITY_LIMIT:
            raise ExportError(
                f"parity, batch {batch}: differs from torch by {difference:.2e}; at most {PARITY_LIMIT} is allowed"
            )


def differences(
    path: Path, module: Exported, inputs: Mapping[str, npt.NDArray[Any]], batches: Sequence[int], unequal: float = 0.0
) -> dict[str, float]:
    """The largest difference between the file under ONNX Runtime and torch, for each batch size.

    It is absolute; for an output with values above 1, such as activation maps, it is a share of the largest value. The
    rows of ``inputs`` are repeated if a batch has more. The share ``unequal`` of the values may differ by more.

    Raises:
        ExportError: the shapes differ.
    """
    session = open_onnx(path)
    found = {}
    for batch in batches:
        rows = {name: np.resize(array, (batch, *array.shape[1:])) for name, array in inputs.items()}
        wanted, answers = answer(module, rows), session.run(list(module.outputs), rows)
        found[str(batch)] = max(
            _difference(ours, theirs, unequal, f"parity, batch {batch}, {name}")
            for ours, (name, theirs) in zip(answers, wanted.items(), strict=True)
        )
    return found


def _difference(found: Floats, wanted: Floats, unequal: float, where: str) -> float:
    if found.shape != wanted.shape:
        raise ExportError(f"{where}: the graph's output is {found.shape}; torch's is {wanted.shape}")
    apart = np.quantile(np.abs(found - wanted), 1 - unequal, method="higher")
    return float(apart / max(1.0, np.abs(wanted).max()))


@torch.no_grad()
def answer(module: Exported, inputs: Mapping[str, npt.NDArray[Any]]) -> Answers:
    """Torch's outputs by name; ``inputs`` are in the module's order."""
    found = module.eval()(*(torch.from_numpy(array.copy()) for array in inputs.values()))
    return {name: tensor.numpy() for name, tensor in zip(module.outputs, found, strict=True)}
