"""Whether rows of several requests may share a run of a graph that has no card to say so.

A run of shared rows is sliced back by counting, so each row's answer must stand where the row stood and must not
depend on the rows beside it. No single sign proves that, so several are asked, and any one of them may say no:

1. **Operators.** `Compress`, `NonMaxSuppression`, `NonZero` and `Unique` answer as many rows as the values ask for. A
   graph with one of them never shares runs, whatever it declares: two rows may come back from two, and be another two.
2. **Runs.** Random rows are run together and one by one, for several kinds of values, some rows twice and one all
   zeros. Every output must have one row for each row, with the same values either way. That finds graphs that sort,
   sum up or normalise over the batch, or that fail on more than one row.
3. **Declarations.** Where the first dimension of every output has the name of the inputs' first dimension, the graph
   says that they are one number. Without that (another name, or none), a graph whose branches or loops (`If`, `Loop`,
   `Scan`) may do something else with other values does not share runs, nor does one that ran on no random rows.

What remains is a graph that treats rows apart for all values tried here, and not for others. Each run is therefore
checked again: `service.engine.batch` compares every output's rows with the run's.
"""

import logging
import time
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from service.engine.binding import LOADING
from service.engine.tensors import DTYPES, Tensor, Tensors
from service.package import TensorSpec

CHOOSE_ROWS = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
BRANCH = frozenset({"If", "Loop", "Scan", "SequenceMap"})
ROWS = 4
# Tried for every other dimension that is free, until a row runs: networks for images want some pixels, few want many.
SIZES = (8, 32, 1, 128, 512)
# Of the rows of one trial.
PROBE_BYTES = 256 << 20
# After so long no other kind of values is tried; the first always is.
PROBE_S = 2.0
# The largest difference of a value, as a part of its tensor's largest: kernels of other sizes round otherwise.
TOLERANCE = {"FP16": 2e-2, "FP32": 1e-3, "FP64": 1e-6}

Answers = list[Tensor]
log = logging.getLogger(__name__)


def why_rows_stay_apart(path: Path, session: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """Why each request must have runs of its own; "" where rows of several may share one.

    Args:
        path: the graph's file, for the log.
        session: runs the graph, and has recorded which operators it has.
        inputs: each with any number of rows.
        outputs: the same.
    """
    operators = _operators(session)
    if chosen := _choosers(operators):
        return f"{chosen} in the graph may answer other rows than came"
    declared = _declares_rows(session)
    if not declared and (branches := sorted(operators & BRANCH)):
        return f"{', '.join(branches)} in the graph may change its rows, and it does not declare that they stay"
    ran, difference = _compare(session, inputs, outputs)
    if difference or ran:
        return difference
    if not declared:
        return "it ran on no random rows, and does not declare that it keeps them apart"
    log.warning("%s: no random rows run, so it is believed that it keeps rows apart, as it declares", path)
    return ""


def why_card_is_wrong(session: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """How a graph whose card says that rows may share a run was seen to mix them; "" where it was not.

    The card's word is believed, but for a graph that chooses rows: that one is tried.
    """
    chosen = _choosers(_operators(session))
    difference = _compare(session, inputs, outputs)[1] if chosen else ""
    return difference and f"{chosen} in the graph: {difference}"


def _choosers(operators: set[str]) -> str:
    return ", ".join(sorted(operators & CHOOSE_ROWS))


def _operators(session: Any) -> set[str]:
    """Those of all nodes, in branches and loops too."""
    return {node.op_type for part in session.get_provider_graph_assignment_info() for node in part.get_nodes()}


def _declares_rows(session: Any) -> bool:
    """Whether the first dimension of all tensors has one name."""
    first = {tensor.shape[0] for tensor in (*session.get_inputs(), *session.get_outputs())}
    return len(first) == 1 and isinstance(first.pop(), str)


def _compare(session: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> tuple[bool, str]:
    """Whether any rows ran, and the first difference between rows run together and alone."""
    until = time.monotonic() + PROBE_S
    for size in SIZES if any(-1 in spec.shape[1:] for spec in inputs) else SIZES[:1]:
        ran = False
        if sum(ROWS * prod(_row_shape(spec, size)) * DTYPES[spec.datatype].itemsize for spec in inputs) > PROBE_BYTES:
            continue
        for kind in range(3):
            random = np.random.default_rng(kind)  # the same at every load, and so the same verdict
            example = {spec.name: _rows(spec, kind, size, random) for spec in inputs}
            alone = [_run(session, {name: rows[i : i + 1] for name, rows in example.items()}) for i in range(ROWS)]
            if any(answers is None for answers in alone):
                continue
            ran = True
            if difference := _differs(outputs, _run(session, example), [answers for answers in alone if answers]):
                return ran, difference
            if time.monotonic() > until:
                break
        if ran:
            return ran, ""
    return False, ""


def _run(session: Any, inputs: Tensors) -> Answers | None:
    """The answers; None where the graph cannot run on these."""
    try:
        return [np.asarray(answer) for answer in session.run(None, dict(inputs), LOADING.get(None))]
    except Exception:  # the library's own exception classes share no narrower base
        return None


def _differs(outputs: Sequence[TensorSpec], together: Answers | None, alone: Sequence[Answers]) -> str:
    if together is None:
        return f"a run of {ROWS} rows fails, of which each runs alone"
    for i, spec in enumerate(outputs):
        if difference := _difference(spec, together[i], [answers[i] for answers in alone]):
            return difference
    return ""


def _difference(spec: TensorSpec, together: Tensor, alone: Sequence[Tensor]) -> str:
    for shape, rows in ((together.shape, ROWS), *((each.shape, 1) for each in alone)):
        if shape[:1] != (rows,):
            return f"its output {spec.name!r} has shape {list(shape)} after a run of {rows}"
    shapes = {each.shape[1:] for each in (together, *alone)}
    if len(shapes) > 1 or not _alike(spec, together, np.concatenate(alone)):
        return f"its output {spec.name!r} answers a row otherwise where others are beside it"
    return ""


def _alike(spec: TensorSpec, together: Tensor, alone: Tensor) -> bool:
    if spec.datatype not in TOLERANCE:
        return bool(np.array_equal(together, alone))
    came, wanted = together.astype("f8"), alone.astype("f8")
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    return np.allclose(came, wanted, rtol=0, atol=TOLERANCE[spec.datatype] * largest, equal_nan=True)


def _row_shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    return tuple(size if dim == -1 else dim for dim in spec.shape[1:])


def _rows(spec: TensorSpec, kind: int, size: int, random: np.random.Generator) -> Tensor:
    shape = (ROWS, *_row_shape(spec, size))
    dtype = DTYPES[spec.datatype]
    rows: Tensor
    if dtype.kind == "f":
        rows = random.random(shape) if kind == 1 else random.standard_normal(shape) * (1 if kind == 0 else 100)
    else:
        # Tokens and indices have small bounds that nobody declares; pixels use all of theirs.
        rows = random.integers(0, 256 if spec.datatype == "UINT8" else (2, 10, 100)[kind], shape)
    if kind:
        rows[2] = rows[0]
    if kind == 2:
        rows[3] = 0
    return (rows.astype(str) if spec.datatype == "BYTES" else rows).astype(dtype)
