"""One version of a package, loaded, tested on its golden example and warm."""

import io
import logging
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from service.engine.session import Session
from service.engine.signature import zeros
from service.engine.statistics import Statistics
from service.engine.tensors import Tensor, Tensors, check_inputs
from service.errors import InvalidPackage
from service.package import Golden, Graph, Loop, Package, TensorCard
from service.package.files import read

MAX_GOLDEN_BYTES = 16 << 20
MAX_UNPACKED_BYTES = 256 << 20

# Called with a path and a graph; with ``any_size``, if a run may have any number of rows.
Load = Callable[..., Session]

# numpy reads an array's header with `ast.literal_eval`, which may fail in CPython 3.11 when two threads call it at the
# same time, because they share a recursion counter (issue 106905).
_PARSING = threading.Lock()

log = logging.getLogger(__name__)


class Model:
    """A package whose graphs gave the golden outputs, if it has a golden example, and are warm.

    Call `measure` before it is served.

    Attributes:
        session: runs the model's graph, or the step graph of a loop.
        encoder: runs the encoder of a loop that has one; else None.
        parts: run the graphs beside the program, by name: the card's parts, and a loop's decoder.

    Raises:
        InvalidPackage: a graph is not the one the card describes, or does not give the golden outputs.
    """

    def __init__(self, package: Package, load: Load) -> None:
        self.package = package
        self.card = package.card
        self.name = self.card.name
        self.version = str(self.card.version)
        self.program = self.card.program
        self.statistics = Statistics()
        loop = self.program if isinstance(self.program, Loop) else None
        graph = self.program.step if isinstance(self.program, Loop) else self.program
        self.session = load(package.path(graph.file), graph, any_size=loop is not None)
        self.encoder = load(package.path(loop.encoder.file), loop.encoder) if loop and loop.encoder else None
        self.parts = {name: load(package.path(part.file), part) for name, part in self.card.beside.items()}
        sessions = {"step.": self.session, "encoder.": self.encoder} if loop else {"": self.session}
        sessions |= {f"{name}.": part for name, part in self.parts.items()}
        self._tested = [self._test(session, prefix) for prefix, session in sessions.items() if session is not None]
        for tested in self._tested:
            self._check_rows(tested.session)

    def __repr__(self) -> str:
        return f"{self.name}/{self.version}"

    @property
    def max_batch(self) -> int:
        """The most rows that share a run or a step; 0 if each request has runs of its own."""
        return 0 if self.session.stay_apart else self.program.max_batch

    @cached_property
    def most_row_elements(self) -> dict[str, int]:
        """The most elements of a row, of each input of any size whose rows the card bounds: those of a full run."""
        most = self.program.max_batch or 1
        return {name: most * elements for name, elements in self.card.row_elements.items()}

    @property
    def providers(self) -> tuple[str, ...]:
        """ONNX Runtime's names of the execution providers that run the nodes of the graphs."""
        sessions = [session for session in (self.session, self.encoder, *self.parts.values()) if session is not None]
        return tuple(dict.fromkeys(name for session in sessions for name in session.providers))

    def measure(self) -> None:
        """Find which graphs are too quick to need helping threads, and which of their runs are too quick for a lane.

        No other model may be loaded at the same time: loading holds Python's lock for longer than such runs take.

        Raises:
            InvalidPackage: a graph does not give the golden outputs without helping threads.
        """
        for tested in self._tested:
            if tested.golden and tested.session.reload_alone(tested.example):
                self._check_golden(tested.session, tested.example, tested.golden, tested.prefix)
                self._warm(tested.session, tested.example)
            tested.session.measure(tested.example)
        self._tested.clear()

    def _test(self, session: Session, prefix: str) -> "Tested":
        if self.card.golden is None:
            return Tested(session, prefix, self._warm_on_zeros(session), {})
        arrays = self._read_golden(self.card.golden, session.graph, prefix)
        example = {spec.name: arrays[spec.name] for spec in session.graph.inputs}
        self._check_golden(session, example, arrays, prefix)
        self._warm(session, example)
        return Tested(session, prefix, example, arrays)

    def _check_rows(self, session: Session) -> None:
        why = session.mixes_rows
        if not why:
            return
        if session is not self.session or not isinstance(self.card, TensorCard) or isinstance(self.program, Loop):
            raise InvalidPackage(
                f"{self.package}: {session.graph.file} has max_batch {session.graph.max_batch} but mixes rows: {why}"
            )
        log.warning("%s: each request has runs of its own: %s", self.package, why)
        session.keep_apart(why)

    def _check_golden(self, session: Session, example: Tensors, golden: Tensors, prefix: str) -> None:
        assert self.card.golden is not None  # or there would be no example
        tolerance, unequal = self.card.golden.tolerance, self.card.golden.unequal
        for name, output in self._run(session, example).items():
            if output.shape != golden[name].shape:
                raise InvalidPackage(
                    f"{self.package}: output {prefix + name!r} has shape {list(output.shape)}; "
                    f"the golden output has {list(golden[name].shape)}"
                )
            difference = _difference(output, golden[name])
            allowed = tolerance * _scale(golden[name])
            if not difference <= allowed and not _unequal(output, golden[name], allowed) <= unequal:
                raise InvalidPackage(
                    f"{self.package}: golden output {prefix + name!r} differs by {difference}; "
                    f"its tolerance is {tolerance}"
                )

    def _warm_on_zeros(self, session: Session) -> Tensors:
        """An example of zeros; empty if the graph fails on it."""
        example = zeros(session.graph.inputs, 1)
        try:
            self._warm(session, example, briefly=True)
        except InvalidPackage as error:
            log.warning("%s; its first requests will be slow, because it has no golden example", error)
            return {}
        return example

    def _warm(self, session: Session, example: Tensors, *, briefly: bool = False) -> None:
        try:
            session.warm(example, briefly=briefly)
        except Exception as error:  # ONNX Runtime's exception classes have no narrower common base
            raise InvalidPackage(
                f"{self.package}: the graph fails while its batch sizes are warmed: {error}"
            ) from error

    def _read_golden(self, golden: Golden, graph: Graph, prefix: str) -> Tensors:
        """The arrays of one graph. The file has them under their names after ``prefix``, as in ``step.token``."""
        path = self.package.path(golden.file)
        content = read(path, MAX_GOLDEN_BYTES)
        specs = (*graph.inputs, *graph.outputs)
        try:
            with _PARSING, np.load(io.BytesIO(content), allow_pickle=False) as archive:
                _check_unpacked(archive)
                arrays = {spec.name: _texts(archive[prefix + spec.name]) for spec in specs}
            check_inputs(self.name, specs, arrays, batched=bool(graph.max_batch))
        except Exception as error:  # numpy and zipfile raise many kinds of errors for a damaged file
            names = [prefix + spec.name for spec in specs]
            raise InvalidPackage(f"{path}: no golden example of {names}: {error}") from error
        return arrays

    def _run(self, session: Session, inputs: Tensors) -> Tensors:
        names = [spec.name for spec in session.graph.outputs]
        try:
            return dict(zip(names, session.run(names, inputs), strict=True))
        except Exception as error:  # ONNX Runtime's exception classes have no narrower common base
            raise InvalidPackage(f"{self.package}: the graph fails on the golden example: {error}") from error


class Tested(NamedTuple):
    """A graph that has run on its ``example``; ``golden`` has the inputs and outputs of the golden example, if any."""

    session: Session
    prefix: str
    example: Tensors
    golden: Tensors


def _check_unpacked(archive: Any) -> None:
    unpacked = sum(entry.file_size for entry in archive.zip.infolist())
    if unpacked > MAX_UNPACKED_BYTES:
        raise ValueError(f"it unpacks to {unpacked} bytes; at most {MAX_UNPACKED_BYTES} are allowed")


def _texts(array: Tensor) -> Tensor:
    """The array; texts as objects, as graphs take them, instead of numpy's fixed-length strings."""
    return array.astype(object) if array.dtype.kind == "U" else array


def _difference(output: Tensor, golden: Tensor) -> Any:
    """The largest absolute difference; infinite if texts differ."""
    if output.dtype.kind == "O":
        return 0.0 if np.array_equal(output, golden) else np.inf
    return np.abs(output.astype("f8") - golden.astype("f8")).max()


def _unequal(output: Tensor, golden: Tensor, allowed: float) -> float:
    """The share of the elements that differ by more than ``allowed``; 1 for an output of other than whole numbers."""
    if output.dtype.kind not in "iu" or not output.size:
        return 1.0
    return float((np.abs(output.astype("f8") - golden.astype("f8")) > allowed).mean())


def _scale(golden: Tensor) -> Any:
    """The largest absolute value, at least 1: features may be far larger than probabilities are."""
    if golden.dtype.kind == "O":
        return 1.0
    largest = np.abs(golden.astype("f8")).max()
    return max(1.0, largest) if np.isfinite(largest) else 1.0
