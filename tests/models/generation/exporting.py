"""A graph traced to ONNX as a package's is, beside torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from training.export.onnx_file import Exported, open_onnx, save, trace


class Graph(Exported, Protocol):
    """A module to export, which names its ``inputs`` too."""

    @property
    def inputs(self) -> Sequence[str]: ...


def check_parity(graph: Graph, examples: Mapping[str, Tensor], inputs: Mapping[str, Tensor], path: Path) -> None:
    """The file of ``graph``, traced with ``examples``, computes for one and all rows of ``inputs`` what torch does."""
    assert list(examples) == list(inputs) == list(graph.inputs)
    assert len({id(tensor) for tensor in examples.values()}) == len(examples)
    save(trace(cast(nn.Module, graph), examples, graph.outputs), path)
    session = open_onnx(path)
    shapes = {tensor.name: tensor.shape for tensor in (*session.get_inputs(), *session.get_outputs())}
    assert set(shapes) == {*graph.inputs, *graph.outputs}
    for name, shape in shapes.items():
        assert shape[0] == "batch", name
        assert all(isinstance(size, int) for size in shape[1:]), name
    for output, name in getattr(graph, "fed", {}).items():
        assert shapes[output] == shapes[name]
    for rows in (1, len(next(iter(inputs.values())))):
        some = {name: tensor[:rows] for name, tensor in inputs.items()}
        with torch.no_grad():
            wanted = graph(*some.values())
        found = session.run(list(graph.outputs), {name: tensor.numpy() for name, tensor in some.items()})
        for name, ours, theirs in zip(graph.outputs, found, wanted, strict=True):
            if ours.dtype == np.uint8:  # a value may be at the edge between two
                assert np.abs(ours.astype("i4") - theirs.numpy()).max() <= 1, name
                assert (ours == theirs.numpy()).mean() > 0.99, name
            else:
                np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-4, err_msg=name)
