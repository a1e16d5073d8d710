"""Finds out whether rows of several requests may share a run of a graph, if no card says so.

The outputs of a shared run are divided by row number, so each input row must have its output row at the same place, and
this must not depend on the other rows. No single test proves that, so there are three, and each of them may say no:

1. **Operators.** `Compress`, `NonMaxSuppression`, `NonZero` and `Unique` return a number of rows that depends on the
   values. A graph with one of them never shares runs, whatever it declares: even if two rows come out for two, they may
   not belong to the same inputs.
2. **Runs.** Random rows are run together and one by one, with several kinds of values, some rows twice and one all
   zeros. Every output must have one row for each input row, with the same values both times. That finds graphs that
   sort, sum or normalise over the batch, or that fail on more than one row.
3. **Declarations.** If the first dimension of all inputs and outputs has one name, the graph declares that it is the
   same number. Without that, a graph does not share runs if it has branches or loops (`If`, `Loop`, `Scan`), which may
   do something else for other values, or if no random rows could be run.

A graph may still treat rows independently for all values that were tried here, and not for others. So each run is
checked again: `service.engine.batch` compares the number of rows of every output with the run's.
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
# Sizes to try for the other free dimensions, until a row runs: networks for images need some pixels, few need many.
SIZES = (8, 32, 1, 128, 512)
# The most bytes of the rows of one trial.
PROBE_BYTES = 256 << 20
# After this many seconds no other kind of values is tried; the first kind always is.
PROBE_S = 2.0
# The largest allowed difference, relative to the tensor's largest value: kernels for other sizes round differently.
TOLERANCE = {"FP16": 2e-2, "FP32": 1e-3, "FP64": 1e-6}

Answers = list[Tensor]
log = logging.getLogger(__name__)


def why_rows_stay_apart(path: Path, session: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """Why each request must have runs of its own; "" if rows of several requests may share one.

    Args:
        path: the graph's file, for the log.
        session: runs the graph, and has recorded its operators.
        inputs: of the graph; each has a free first dimension.
        outputs: of the graph; each has a free first dimension.
    """
    operators = _operators(session)
    if chosen := _choosers(operators):
        return f"{chosen} in the graph may return other rows than it gets"
    declared = _declares_rows(session)
    if not declared and (branches := sorted(operators & BRANCH)):
        return f"{', '.join(branches)} in the graph may change its rows, and it does not declare that it keeps them"
    ran, difference = _compare(session, inputs, outputs)
    if difference or ran:
        return difference
    if not declared:
        return "no random rows could be run, and it does not declare that it keeps rows apart"
    log.warning("%s: no random rows could be run to test that it keeps rows apart, as it declares", path)
    return ""


def why_card_is_wrong(session: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """How the graph mixes rows although its card says that they may share a run; "" if it was not seen to.

    The card is trusted, unless the graph has an operator that selects rows: then it is tried.
    """
    chosen = _choosers(_operators(session))
    difference = _compare(session, inputs, outputs)[1] if chosen else ""
    return difference and f"{chosen} in the graph: {difference}"


def _choosers(operators: set[str]) -> str:
    return ", ".join(sorted(operators & CHOOSE_ROWS))


def _operators(session: Any) -> set[str]:
    """The operators of all nodes, also those in branches and loops."""
    return {node.op_type for subgraph in session.get_provider_graph_assignment_info() for node in subgraph.get_nodes()}


def _declares_rows(session: Any) -> bool:
    """Whether the first dimensions of all inputs and outputs have the same name."""
    first = {tensor.shape[0] for tensor in (*session.get_inputs(), *session.get_outputs())}
    return len(first) == 1 and isinstance(first.pop(), str)


def _compare(session: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> tuple[bool, str]:
    """Whether any rows could be run, and the first difference between running them together and alone."""
    until = time.monotonic() + PROBE_S
    for size in SIZES if any(-1 in spec.shape[1:] for spec in inputs) else SIZES[:1]:
        ran = False
        if sum(ROWS * prod(_row_shape(spec, size)) * DTYPES[spec.datatype].itemsize for spec in inputs) > PROBE_BYTES:
            continue
        for kind in range(3):
            random = np.random.default_rng(kind)  # the same at every load, so the result is the same, too
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
    """The outputs; None if the graph fails on these inputs."""
    try:
        return [np.asarray(answer) for answer in session.run(None, dict(inputs), LOADING.get(None))]
    except Exception:  # ONNX Runtime's exception classes have no narrower common base
        return None


def _differs(outputs: Sequence[TensorSpec], together: Answers | None, alone: Sequence[Answers]) -> str:
    if together is None:
        return f"a run of {ROWS} rows fails, though each of them runs alone"
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
        return f"its output {spec.name!r} is different for a row when other rows share the run"
    return ""


def _alike(spec: TensorSpec, together: Tensor, alone: Tensor) -> bool:
    if spec.datatype not in TOLERANCE:
        return bool(np.array_equal(together, alone))
    together, alone = together.astype("f8"), alone.astype("f8")
    largest = np.abs(alone[np.isfinite(alone)]).max(initial=0.0)
    return np.allclose(together, alone, rtol=0, atol=TOLERANCE[spec.datatype] * largest, equal_nan=True)


def _row_shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    return tuple(size if dim == -1 else dim for dim in spec.shape[1:])


def _rows(spec: TensorSpec, kind: int, size: int, random: np.random.Generator) -> Tensor:
    shape = (ROWS, *_row_shape(spec, size))
    dtype = DTYPES[spec.datatype]
    rows: Tensor
    if dtype.kind == "f":
        rows = random.random(shape) if kind == 1 else random.standard_normal(shape) * (1 if kind == 0 else 100)
    else:
        # Tokens and indices have small limits, which no graph declares; pixels use their whole range.
        rows = random.integers(0, 256 if spec.datatype == "UINT8" else (2, 10, 100)[kind], shape)
    if kind:
        rows[2] = rows[0]
    if kind == 2:
        rows[3] = 0
    return (rows.astype(str) if spec.datatype == "BYTES" else rows).astype(dtype)
