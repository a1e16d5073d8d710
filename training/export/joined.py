"""Joins graphs: the outputs of one are the inputs of those after it."""

from collections.abc import Sequence

import onnx
from onnx import compose, helper


def join(graphs: Sequence[onnx.ModelProto], inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """One graph of ``graphs``, in their order; tensors of the same name among their inputs and outputs are the same.

    ``inputs`` and ``outputs`` name those of the whole. All other names get their graph's number in front.

    Raises:
        ValueError: the graphs have different operator sets.
    """
    operators = {tuple(sorted((each.domain, each.version) for each in graph.opset_import)) for graph in graphs}
    if len(operators) != 1:
        raise ValueError(f"graphs of different operator sets cannot be joined: {sorted(operators)}")
    parts = [
        compose.add_prefix(graph, f"{number}_", rename_inputs=False, rename_outputs=False)
        for number, graph in enumerate(graphs)
    ]
    tensors = {each.name: each for part in parts for each in (*part.graph.output, *part.graph.input)}
    whole = helper.make_graph(
        [node for part in parts for node in part.graph.node],
        parts[0].graph.name,
        [tensors[name] for name in inputs],
        [tensors[name] for name in outputs],
        [value for part in parts for value in part.graph.initializer],
    )
    model = helper.make_model(whole, opset_imports=list(graphs[0].opset_import), ir_version=graphs[0].ir_version)
    model.functions.extend(function for part in parts for function in part.functions)
    return model
