"""One version of one package, loaded, proved and warm."""

import io
import logging
import threading
from collections.abc import Callable
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

# With ``any_size`` where a run may have any number of rows.
Load = Callable[..., Session]

# numpy reads an array's header by `ast.literal_eval`, which in CPython 3.11 now and then fails where two threads are in
# it: they count their recursion in one place (issue 106905).
_PARSING = threading.Lock()

log = logging.getLogger(__name__)


class Model:
    """A package whose graphs have given the golden answers, where there are some, and whose buckets are warm.

    ``session`` runs the graph, or the step of a loop; ``encoder`` the encoder of a loop that has one; ``parts`` the
    graphs beside it, by their names. Before it is served, `measure` it.

    Raises:
        InvalidPackage: a graph is not the one the card describes, or does not give the golden answer.
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
        self.parts = {name: load(package.path(part.file), part) for name, part in self.card.parts.items()}
        sessions = {"step.": self.session, "encoder.": self.encoder} if loop else {"": self.session}
        sessions |= {f"{name}.": part for name, part in self.parts.items()}
        self._proofs = [self._prove(session, prefix) for prefix, session in sessions.items() if session is not None]
        for proof in self._proofs:
            self._check_rows(proof.session)

    def __repr__(self) -> str:
        return f"{self.name}/{self.version}"

    @property
    def max_batch(self) -> int:
        """Most rows that share a run, or take a step together; 0 where each request has runs of its own."""
        return 0 if self.session.stay_apart else self.program.max_batch

    @property
    def providers(self) -> tuple[str, ...]:
        """ONNX Runtime's names of the execution providers that run the nodes of its graphs."""
        sessions = [session for session in (self.session, self.encoder, *self.parts.values()) if session is not None]
        return tuple(dict.fromkeys(name for session in sessions for name in session.providers))

    def measure(self) -> None:
        """Find which graphs are too quick for helping threads, and which of their runs for a lane.

        Loads of other models meanwhile would disturb it: their turns with Python's lock are longer than such runs.

        Raises:
            InvalidPackage: a graph does not give the golden answer without helping threads.
        """
        for proof in self._proofs:
            if proof.golden and proof.session.reload_alone(proof.example):
                self._check_golden(proof.session, proof.example, proof.golden, proof.prefix)
                self._warm(proof.session, proof.example)
            proof.session.measure(proof.example)
        self._proofs.clear()

    def _prove(self, session: Session, prefix: str) -> "Proof":
        if self.card.golden is None:
            return Proof(session, prefix, self._warm_on_zeros(session), {})
        arrays = self._read_golden(self.card.golden, session.graph, prefix)
        example = {spec.name: arrays[spec.name] for spec in session.graph.inputs}
        self._check_golden(session, example, arrays, prefix)
        self._warm(session, example)
        return Proof(session, prefix, example, arrays)

    def _check_rows(self, session: Session) -> None:
        why = session.mixes_rows
        if not why:
            return
        if session is not self.session or not isinstance(self.card, TensorCard) or isinstance(self.program, Loop):
            raise InvalidPackage(
                f"{self.package}: {session.graph.file} has max_batch {session.graph.max_batch}, but mixes rows: {why}"
            )
        log.warning("%s: each request has runs of its own: %s", self.package, why)
        session.keep_apart(why)

    def _check_golden(self, session: Session, example: Tensors, wanted: Tensors, prefix: str) -> None:
        assert self.card.golden is not None  # or there would be no example
        tolerance = self.card.golden.tolerance
        for name, found in self._run(session, example).items():
            difference = _difference(found, wanted[name])
            if difference is None or not difference <= tolerance * _scale(wanted[name]):
                raise InvalidPackage(
                    f"{self.package}: golden output {prefix + name!r} differs by {difference} "
                    f"(shape {found.shape}, wanted {wanted[name].shape}), tolerance {tolerance}"
                )

    def _warm_on_zeros(self, session: Session) -> Tensors:
        """The example; none where the graph does not take it."""
        example = zeros(session.graph.inputs, 1)
        try:
            self._warm(session, example, briefly=True)
        except InvalidPackage as error:
            log.warning("%s; without a golden example its first requests will be slow", error)
            return {}
        return example

    def _warm(self, session: Session, example: Tensors, *, briefly: bool = False) -> None:
        try:
            session.warm(example, briefly=briefly)
        except Exception as error:  # the library's own exception classes share no narrower base
            raise InvalidPackage(
                f"{self.package}: the graph fails while its batch sizes are warmed: {error}"
            ) from error

    def _read_golden(self, golden: Golden, graph: Graph, prefix: str) -> Tensors:
        """The arrays of one graph; a loop's have ``step.`` or ``encoder.`` before their names, a part's its name."""
        path = self.package.path(golden.file)
        content = read(path, MAX_GOLDEN_BYTES)
        specs = (*graph.inputs, *graph.outputs)
        try:
            with _PARSING, np.load(io.BytesIO(content), allow_pickle=False) as archive:
                _check_unpacked(archive)
                arrays = {spec.name: _texts(archive[prefix + spec.name]) for spec in specs}
            check_inputs(self.name, specs, arrays, batched=bool(graph.max_batch))
        except Exception as error:  # numpy and zipfile raise anything on a damaged file
            wanted = [prefix + spec.name for spec in specs]
            raise InvalidPackage(f"{path}: no golden example of {wanted}: {error}") from error
        return arrays

    def _run(self, session: Session, inputs: Tensors) -> Tensors:
        names = [spec.name for spec in session.graph.outputs]
        try:
            return dict(zip(names, session.run(names, inputs), strict=True))
        except Exception as error:  # the library's own exception classes share no narrower base
            raise InvalidPackage(f"{self.package}: the graph fails on the golden example: {error}") from error


class Proof(NamedTuple):
    """A graph that has run on its ``example``; ``golden`` are its inputs and outputs, empty where it has none."""

    session: Session
    prefix: str
    example: Tensors
    golden: Tensors


def _check_unpacked(archive: Any) -> None:
    unpacked = sum(entry.file_size for entry in archive.zip.infolist())
    if unpacked > MAX_UNPACKED_BYTES:
        raise ValueError(f"{unpacked} bytes unpacked; at most {MAX_UNPACKED_BYTES} are allowed")


def _texts(array: Tensor) -> Tensor:
    """The array; texts, which numpy's files hold at one length, as those that graphs take."""
    return array.astype(object) if array.dtype.kind == "U" else array


def _difference(found: Tensor, wanted: Tensor) -> Any:
    """The largest absolute difference, infinite between two texts; None where the shapes differ."""
    if found.dtype.kind == "O":
        return 0.0 if np.array_equal(found, wanted) else np.inf
    return np.abs(found.astype("f8") - wanted.astype("f8")).max() if found.shape == wanted.shape else None


def _scale(wanted: Tensor) -> Any:
    """The largest absolute value, where it is over 1: probabilities are not, what a network sees in an image may be."""
    if wanted.dtype.kind == "O":
        return 1.0
    largest = np.abs(wanted.astype("f8")).max()
    return max(1.0, largest) if np.isfinite(largest) else 1.0
