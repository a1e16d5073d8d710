"""Packages without a card: `model.onnx` alone, as people bring their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

Dims = Sequence[int | str | None]
OFFSET = 10.0
MOODS = ("sad", "happy")


def write_bare(repository: Path, model: ModelProto, name: str = "bare", version: int = 1) -> Path:
    """Write ``<repository>/<name>/<version>/model.onnx``."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def adder(shape: Dims = ("N", 4), datatype: int = TensorProto.FLOAT, amount: float = OFFSET) -> ModelProto:
    """``y = x + amount``, both of that shape."""
    constant = helper.make_tensor("amount", datatype, [], [amount])
    return graph([helper.make_node("Add", ["x", "amount"], ["y"])], shape, shape, datatype, [constant])


def detector() -> ModelProto:
    """The numbers over 0.5 and how many boxes they are: rows come in, another number of rows goes out."""
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    nodes = [
        helper.make_node("Greater", ["x", "half"], ["found"]),
        helper.make_node("NonZero", ["found"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
        helper.make_node("Cast", ["rows"], ["y"], to=TensorProto.FLOAT),
    ]
    return graph(nodes, ("N", 4), ("boxes", 2), TensorProto.FLOAT, [half])


def compressor(goes: str | None = "found") -> ModelProto:
    """The rows whose first number is over 0.5, as many as there are; ``goes`` names how many that is."""
    nodes = [
        helper.make_node("Gather", ["x", "first"], ["score"], axis=1),
        helper.make_node("Greater", ["score", "half"], ["found"]),
        helper.make_node("Compress", ["x", "found"], ["y"], axis=0),
    ]
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    first = helper.make_tensor("first", TensorProto.INT64, [], [0])
    return graph(nodes, ("N", 4), (goes, 4), TensorProto.FLOAT, [half, first])


def unique_rows(goes: str | None = None) -> ModelProto:
    """Each row that came, once, in their own order, not in that they came in."""
    node = helper.make_node("Unique", ["x"], ["y"], axis=0, sorted=1)
    return graph([node], ("N", 4), (goes, 4), TensorProto.FLOAT)


def box_suppressor(goes: str | None = None) -> ModelProto:
    """The rows of boxes (N, 4) that overlap no better one: all have one score, so the first is better."""
    constants = [
        helper.make_tensor("leading", TensorProto.INT64, [1], [0]),
        helper.make_tensor("scores_shape", TensorProto.INT64, [3], [1, 1, -1]),
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0]),
        helper.make_tensor("most", TensorProto.INT64, [1], [1000]),
        helper.make_tensor("overlap", TensorProto.FLOAT, [1], [0.5]),
        helper.make_tensor("last", TensorProto.INT64, [], [2]),
        helper.make_tensor("first", TensorProto.INT64, [], [0]),
    ]
    nodes = [
        helper.make_node("Unsqueeze", ["x", "leading"], ["boxes"]),
        helper.make_node("Gather", ["x", "first"], ["column"], axis=1),
        helper.make_node("Mul", ["column", "zero"], ["same"]),
        helper.make_node("Reshape", ["same", "scores_shape"], ["scores"]),
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap"], ["selected"]),
        helper.make_node("Gather", ["selected", "last"], ["kept"], axis=1),
        helper.make_node("Gather", ["x", "kept"], ["y"], axis=0),
    ]
    return graph(nodes, ("N", 4), (goes, 4), TensorProto.FLOAT, constants)


def over_the_batch(op: str, came: str | None = "N", goes: str | None = "N", **attributes: Any) -> ModelProto:
    """``y = op(x)`` along the first dimension, so that a row's answer depends on the rows beside it."""
    attributes = attributes or {"axis": 0}
    if op == "CumSum":
        axis = helper.make_tensor("first", TensorProto.INT64, [], [0])
        return graph([helper.make_node(op, ["x", "first"], ["y"])], (came, 4), (goes, 4), TensorProto.FLOAT, [axis])
    return graph([helper.make_node(op, ["x"], ["y"], **attributes)], (came, 4), (goes, 4), TensorProto.FLOAT)


def some_rows(limit: float, goes: str | None = "N") -> ModelProto:
    """The rows as they are; where a number is over ``limit``, without the first of them."""
    over = helper.make_graph(
        [
            helper.make_node("Slice", ["x", "begin", "end"], ["some"]),
        ],
        "over",
        [],
        [helper.make_tensor_value_info("some", TensorProto.FLOAT, None)],
    )
    under = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["all"])],
        "under",
        [],
        [helper.make_tensor_value_info("all", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["any_over"]),
        helper.make_node("If", ["any_over"], ["y"], then_branch=over, else_branch=under),
    ]
    constants = [
        helper.make_tensor("limit", TensorProto.FLOAT, [], [limit]),
        helper.make_tensor("begin", TensorProto.INT64, [1], [1]),
        helper.make_tensor("end", TensorProto.INT64, [1], [1 << 30]),
    ]
    return graph(nodes, ("N", 4), (goes, 4), TensorProto.FLOAT, constants)


def not_for_zeros() -> ModelProto:
    """Takes images of any size, but none of 1 x 1: its kernel is larger."""
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, 1, 3, 3], np.ones(9))
    node = helper.make_node("Conv", ["x", "kernel"], ["y"])
    return graph([node], ("N", 1, "H", "W"), ("N", 1, "h", "w"), TensorProto.FLOAT, [kernel])


def external(location: str) -> ModelProto:
    """``y = x + w`` of four numbers, ``w`` in the file at ``location``."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return graph([helper.make_node("Add", ["x", "w"], ["y"])], ("N", 4), ("N", 4), TensorProto.FLOAT, [tensor])


def endless() -> ModelProto:
    """Gives ``x`` back after more rounds than can ever be run."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"]), helper.make_node("Identity", ["came"], ["gone"])],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("came", TensorProto.FLOAT, ("N", 4)),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("gone", TensorProto.FLOAT, ("N", 4)),
        ],
    )
    constants = [
        helper.make_tensor("rounds", TensorProto.INT64, [], [2**62]),
        helper.make_tensor("going_", TensorProto.BOOL, [], [True]),
    ]
    node = helper.make_node("Loop", ["rounds", "going_", "x"], ["y"], body=body)
    return graph([node], ("N", 4), ("N", 4), TensorProto.FLOAT, constants)


def stuck() -> ModelProto:
    """One operator that takes hours of a core, and no memory to speak of."""
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1500, 1500])
    return graph([node], (1, 1, 3000, 3000), (1, 1, 1501, 1501), TensorProto.FLOAT)


def graph(nodes: Sequence[Any], came: Dims | None, goes: Dims | None, datatype: int, constants: Any = ()) -> ModelProto:
    """A graph from ``x`` to ``y``."""
    made = helper.make_graph(
        list(nodes),
        "bare",
        [helper.make_tensor_value_info("x", datatype, came)],
        [helper.make_tensor_value_info("y", datatype, goes)],
        list(constants),
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def text_echo(shape: Dims = ("N", 2)) -> ModelProto:
    """``y = x``, texts of that shape."""
    return graph([helper.make_node("Identity", ["x"], ["y"])], shape, shape, TensorProto.STRING)


def text_doubler(given: str = "x", answered: str = "y") -> ModelProto:
    """Each text twice, one after the other, a text a row."""
    node = helper.make_node("StringConcat", [given, given], [answered])
    made = helper.make_graph(
        [node],
        "doubler",
        [helper.make_tensor_value_info(given, TensorProto.STRING, ["N"])],
        [helper.make_tensor_value_info(answered, TensorProto.STRING, ["N"])],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def sentiment() -> ModelProto:
    """Three words a row to a label and the scores of `MOODS`, as converters of scikit-learn's pipelines write them."""
    nodes = [
        helper.make_node(
            "TfIdfVectorizer",
            ["words"],
            ["counts"],
            max_gram_length=1,
            min_gram_length=1,
            max_skip_count=0,
            mode="TF",
            ngram_counts=[0],
            ngram_indexes=[0, 1],
            pool_strings=["good", "bad"],
        ),
        helper.make_node(
            "LinearClassifier",
            ["counts"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            classlabels_strings=list(MOODS),
            coefficients=[0.0, 1.0, 1.0, 0.0],
            intercepts=[0.1, 0.0],
            post_transform="NONE",
        ),
    ]
    made = helper.make_graph(
        nodes,
        "sentiment",
        [helper.make_tensor_value_info("words", TensorProto.STRING, ["N", 3])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 2]),
        ],
    )
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 1)], ir_version=10
    )
