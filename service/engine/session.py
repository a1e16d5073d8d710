"""One ONNX Runtime session: a graph ready to run on a lane."""

import logging
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

from service.engine.binding import LOADING, NOT_RECORDED, Bucketed, Buffer, DeviceBuffer, bind, run_options
from service.engine.device import CPU, Device
from service.engine.row_probe import why_card_is_wrong
from service.engine.tensors import DATATYPES, Tensor, Tensors
from service.errors import InvalidPackage
from service.package import Graph, TensorSpec

_ORT_TYPES = {
    "tensor(bool)": "?",
    "tensor(float16)": "f2",
    "tensor(float)": "f4",
    "tensor(double)": "f8",
    "tensor(string)": "O",
    **{f"tensor(int{bits})": f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": f"u{bits // 8}" for bits in (8, 16, 32, 64)},
}

_HOST_MEMORY = ("Cpu", "CudaPinned")

# A first run of a size that takes so many times `HANDOVER_S` says enough: no other run of it will be as quick.
FAR = 50
# A run that takes longer is far from quick, whatever else the machine does meanwhile.
SLOW_S = 0.1

# Opens the graph in a file; see `open_graph`.
OpenGraph = Callable[[Path], ort.InferenceSession]

WARM_RUNS = 3
# A batch quicker than this is not worth waking a lane for, and being woken by it.
HANDOVER_S = 0.0002

log = logging.getLogger(__name__)


class Session:
    """A graph loaded on a device. On the CPU, ``run`` may be called from several lanes at once.

    ``stay_apart`` says why each request must have runs of its own, whatever the card says; "" before `keep_apart`.
    ``inline_rows`` are the rows of the largest bucket that `measure` found to run in less than `HANDOVER_S`; none
    where a row may have any size, as the next may be many times the example's.
    ``providers`` are those that run the graph's nodes, by ONNX Runtime's names; ``on_device`` are the inputs that it
    reads in the device's own memory. With ``any_size``, as a loop's steps are, a device warms every number of rows.
    ``opened`` is the graph where `open_graph` has opened it already, with the same threads on the same device.

    Raises:
        InvalidPackage: the file is no ONNX graph we can run on the device, or not the one the card describes.
    """

    stay_apart = ""

    def __init__(
        self,
        path: Path,
        graph: Graph,
        intra_op: int,
        device: Device = CPU,
        *,
        any_size: bool = False,
        opened: ort.InferenceSession | None = None,
    ) -> None:
        self.graph = graph
        self.device = device
        self.inline_rows = 0
        # The fewest rows whose first run took over `SLOW_S`; 0 where none did.
        self._slow_rows = 0
        self._path = path
        self._threads = intra_op
        self._alike = _fixed_rows(graph)
        self._session = opened or open_graph(path, intra_op, device if self._alike else replace(device, records=False))
        _match(path, "input", graph.inputs, self._session.get_inputs())
        _match(path, "output", graph.outputs, self._session.get_outputs())
        self.providers = _providers(self._session)
        self.on_device = _on_device(self._session, device)
        self._plain = LOADING.get(None) or run_options(NOT_RECORDED)
        every = any_size and device.own_memory
        self._sizes = list(range(1, graph.max_batch + 1)) if every else buckets(graph.max_batch)
        self._bucketed = self._buckets() if device.own_memory and self._alike else None

    def _buckets(self) -> Bucketed:
        def make(spec: TensorSpec, capacity: int) -> Buffer:
            return self.buffer(spec, capacity, on_device=spec.name in self.on_device or spec in self.graph.outputs)

        return Bucketed(self._session, self.graph, self._sizes, make)

    def run(self, outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
        """The named outputs, in that order, for one batch of inputs."""
        bucketed = self._bucketed
        if bucketed is not None and len(next(iter(inputs.values()))) <= self.graph.max_batch:
            try:
                return bucketed.run(outputs, inputs)
            except Exception:  # the library's own exception classes share no narrower base
                # Bound outputs take no other rows than the run's. Unbound, the graph shows them, or why else it fails.
                log.debug("%s: a run in bound memory failed; again without", self._path, exc_info=True)
        answers: list[Tensor] = self._session.run(outputs, inputs, self._plain)
        return answers

    def buffer(self, spec: TensorSpec, capacity: int, *, on_device: bool) -> Buffer:
        """So many rows of a tensor, to be bound: on the device, if it has memory of its own, or on the host."""
        if on_device and self.device.own_memory:
            return DeviceBuffer(spec, capacity, self.device, self._session)
        return Buffer(spec, capacity)

    def bound(
        self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer], first: int, end: int
    ) -> Callable[[], None]:
        """A run of rows ``first`` to ``end`` that reads ``inputs`` and writes ``outputs`` where they are."""
        return bind(self._session, inputs, outputs, first, end)

    @property
    def mixes_rows(self) -> str:
        """How the graph was just seen to mix rows that, as its card says, share a run; "" where it was not."""
        graph = self.graph
        return why_card_is_wrong(self._session, graph.inputs, graph.outputs) if graph.max_batch > 1 else ""

    def wrong_rows(self, outputs: Tensors, rows: int) -> str:
        """Which output has other rows than its run of ``rows``; "" if none, or where the graph has no batch."""
        for name, tensor in outputs.items():
            if self.graph.max_batch and tensor.shape[:1] != (rows,):
                came = f"{tensor.shape[0]} rows" if tensor.shape else "no rows"
                return f"its output {name!r} has {came} after a run of {rows}"
        return ""

    def keep_apart(self, why: str) -> None:
        """A run has shown that the graph does not keep rows apart: from now on run each request as it comes.

        On a device no run is filled up to a size any more, as the rows that fill it up are others' of before.
        """
        self.stay_apart = why
        self._bucketed = None
        self.inline_rows = 0

    def warm(self, example: Tensors, *, briefly: bool = False) -> None:
        """Run the smallest and the largest size with the rows of ``example``, repeated; on a device every size.

        On the CPU the first run of a graph is the slowest. A first run of a size between the two costs half a
        millisecond more than the next, or where it takes much memory up to 13 % (the zoo's graphs). Where it may be
        done ``briefly``, sizes are run from the smallest up, and those above one that takes over `SLOW_S` are left out.
        What memory the largest has taken is given back: ONNX Runtime would keep it, and takes it anew at no cost that a
        later run shows.
        """
        if self.device.own_memory:  # rows are filled up to one of the sizes, so each must have run
            for rows in self._sizes:
                self._run_s(example, rows, runs=WARM_RUNS)
            return
        smallest, largest = self._sizes[0], self._sizes[-1]
        for rows in self._sizes if briefly else dict.fromkeys((smallest, largest)):
            if self._run_s(example, rows) > SLOW_S:
                self._slow_rows = self._slow_rows or rows
            if briefly and self._slow_rows:
                break
        if smallest < rows:
            self._run_s(example, smallest, options=_shrinking())

    def measure(self, example: Tensors) -> None:
        """Find the ``inline_rows``, where there is an example; whatever else runs meanwhile disturbs it.

        From here on no run ends with the load.
        """
        self._plain = run_options(NOT_RECORDED)
        if not example or not self._alike or self.stay_apart:
            return
        if self.device.own_memory:  # its buffers are its lane's alone
            return
        for rows in self._sizes:
            if rows == self._slow_rows or not self._is_quick(example, rows):
                break
            self.inline_rows = rows

    def reload_alone(self, example: Tensors) -> bool:
        """Where one row runs quicker than `HANDOVER_S`, go on without helping threads; whether that is so.

        To wake them for so little costs more than they bring: LeNet-5's gRPC calls take a third less of the processor.
        """
        if self._threads == 1 or self.device.own_memory or not self._is_quick(example, 1):
            return False
        self._threads = 1
        self._session = open_graph(self._path, 1, self.device)
        return True

    def _is_quick(self, example: Tensors, rows: int) -> bool:
        """Whether the quickest of a few runs takes less than `HANDOVER_S`; a first far above it says enough."""
        first = self._run_s(example, rows)
        return first < FAR * HANDOVER_S and min(first, self._run_s(example, rows, runs=WARM_RUNS - 1)) < HANDOVER_S

    def _run_s(self, example: Tensors, rows: int, *, runs: int = 1, options: ort.RunOptions | None = None) -> float:
        """The least seconds of so many runs on so many rows of ``example``."""
        names = [spec.name for spec in self.graph.outputs]
        resized = self._resized(example, rows)
        run = partial(self._session.run, names, resized, options) if options else partial(self.run, names, resized)
        return min(timeit.repeat(run, number=1, repeat=runs))

    def _resized(self, example: Tensors, rows: int) -> Tensors:
        """So many rows, those of ``example`` repeated; itself where it has none."""
        if not self.graph.max_batch:
            return example
        return {name: np.resize(tensor, (rows, *tensor.shape[1:])) for name, tensor in example.items()}


def buckets(max_batch: int) -> list[int]:
    """The batch sizes run once before ready: the powers of two below ``max_batch``, and ``max_batch``; 1 where 0."""
    max_batch = max_batch or 1
    return [*(1 << i for i in range((max_batch - 1).bit_length())), max_batch]


def open_graph(path: Path, intra_op: int, device: Device = CPU) -> ort.InferenceSession:
    """ONNX Runtime's session of the graph in the file, with so many threads.

    Raises:
        InvalidPackage: it is no graph that can run on the device.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = intra_op
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle pool threads would spin on the core the event loop needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = ort.InferenceSession(str(path), options, providers=device.providers, enable_fallback=0)
    except Exception as error:  # the library's own exception classes share no narrower base
        if device.records:  # it records no graph of which the CPU runs a part
            session = open_graph(path, intra_op, replace(device, records=False))
            log.warning("%s: runs without CUDA graphs: %s", path, error)
            return session
        raise InvalidPackage(f"{path}: ONNX Runtime cannot load it on {device}: {error}") from error
    if device.provider not in session.get_providers():
        raise InvalidPackage(f"{path}: {device} is wanted, ONNX Runtime took {session.get_providers()}")
    return session


def _shrinking() -> ort.RunOptions:
    """Options of a run after which what memory is free goes back to the system."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _fixed_rows(graph: Graph) -> bool:
    """Whether only the number of rows varies; a text may have any length."""
    return graph.max_batch > 0 and all(
        -1 not in spec.shape[1:] and spec.datatype != "BYTES" for spec in (*graph.inputs, *graph.outputs)
    )


def _providers(session: ort.InferenceSession) -> tuple[str, ...]:
    """Those with a node to run, as the session ranks them; its first where the graph has no nodes."""
    used = {part.ep_name for part in session.get_provider_graph_assignment_info()}
    ranked = session.get_providers()
    return tuple(name for name in ranked if name in used) or (ranked[0],)


def _on_device(session: ort.InferenceSession, device: Device) -> frozenset[str]:
    """Its inputs but those that nodes on the CPU read: these are copied to the host when bound, and never again."""
    if not device.own_memory:
        return frozenset()
    places = zip(session.get_inputs(), session.get_input_memory_infos(), strict=True)
    return frozenset(arg.name for arg, memory in places if device.kind == "cpu" or memory.name not in _HOST_MEMORY)


def _match(path: Path, kind: str, specs: Sequence[TensorSpec], args: Sequence[ort.NodeArg]) -> None:
    wanted = [(spec.name, spec.datatype, tuple(spec.shape)) for spec in specs]
    found = [(arg.name, _datatype(arg), tuple(_dim(d) for d in arg.shape)) for arg in args]
    if wanted != found:
        raise InvalidPackage(f"{path}: the graph's {kind}s are {found}, the card says {wanted}")


def _datatype(arg: ort.NodeArg) -> str:
    code = _ORT_TYPES.get(arg.type)
    return DATATYPES[np.dtype(code)] if code else str(arg.type)


def _dim(dim: int | str | None) -> int:
    return dim if isinstance(dim, int) else -1
