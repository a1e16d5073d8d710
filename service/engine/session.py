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
from service.engine.handover import inline_limit_s, takes_less
from service.engine.onnx_graph import check_tensors, inputs_on_device, open_graph, used_providers
from service.engine.row_probe import why_card_is_wrong
from service.engine.tensors import Tensor, Tensors
from service.package import Graph, TensorSpec

# A run that takes longer than this is not quick, even if other work of the machine disturbs it.
SLOW_S = 0.1
WARM_RUNS = 3

log = logging.getLogger(__name__)


class Session:
    """A graph loaded on a device. On the CPU, ``run`` may be called from several lanes at once.

    Args:
        path: the file of the graph.
        graph: what the card says about it.
        intra_op: how many threads a run has.
        device: where it runs.
        any_size: whether runs have any number of rows, as a loop's steps have; then a device warms every number.
        opened: the graph, if `open_graph` has already opened it with the same threads on the same device.

    Attributes:
        stay_apart: why each request must have runs of its own, whatever the card says; "" before `keep_apart`.
        inline_rows: the rows of the largest batch size that `measure` found to take less than `inline_limit_s`; 0 if
            rows may have any size, because the next row may be many times as large as the example's.
        providers: ONNX Runtime's names of the providers that run the graph's nodes.
        on_device: the inputs that the graph reads in the device's own memory.

    Raises:
        InvalidPackage: the file has no ONNX graph that can run on the device, or not the one the card describes.
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
        # The fewest rows whose first run took longer than `SLOW_S`; 0 if none did.
        self._slow_rows = 0
        self._path = path
        self._threads = intra_op
        self._alike = _fixed_rows(graph)
        self._session = opened or open_graph(path, intra_op, device if self._alike else replace(device, records=False))
        check_tensors(path, "input", graph.inputs, self._session.get_inputs())
        check_tensors(path, "output", graph.outputs, self._session.get_outputs())
        self.providers = used_providers(self._session)
        self.on_device = inputs_on_device(self._session, device)
        self._plain = LOADING.get(None) or run_options(NOT_RECORDED)
        every = any_size and device.own_memory
        self._sizes = list(range(1, graph.max_batch + 1)) if every else buckets(graph.max_batch)
        self._bucketed = self._buckets() if device.own_memory and self._alike else None

    def _buckets(self) -> Bucketed:
        def make(spec: TensorSpec, capacity: int) -> Buffer:
            return self.buffer(spec, capacity, on_device=spec.name in self.on_device or spec in self.graph.outputs)

        return Bucketed(self._session, self.graph, self._sizes, make)

    def run(self, outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
        """The named outputs for one batch of inputs, in that order."""
        bucketed = self._bucketed
        if bucketed is not None and len(next(iter(inputs.values()))) <= self.graph.max_batch:
            try:
                return bucketed.run(outputs, inputs)
            except Exception:  # ONNX Runtime's exception classes have no narrower common base
                # Bound outputs only take as many rows as the inputs have. A run without bound buffers shows how many
                # rows the outputs have, or why else the graph fails.
                log.debug("%s: a run with bound buffers failed; running without", self._path, exc_info=True)
        results: list[Tensor] = self._session.run(outputs, inputs, self._plain)
        return results

    def buffer(self, spec: TensorSpec, capacity: int, *, on_device: bool) -> Buffer:
        """A buffer of ``capacity`` rows for `bound`: on the device, if it has memory of its own, else on the host."""
        if on_device and self.device.own_memory:
            return DeviceBuffer(spec, capacity, self.device, self._session)
        return Buffer(spec, capacity)

    def bound(
        self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer], first: int, end: int
    ) -> Callable[[], None]:
        """A function that runs the graph on rows ``first`` to ``end`` of the buffers, in place."""
        return bind(self._session, inputs, outputs, first, end)

    @property
    def mixes_rows(self) -> str:
        """How the graph mixes rows although its card says that they may share a run; "" if it was not seen to."""
        graph = self.graph
        return why_card_is_wrong(self._session, graph.inputs, graph.outputs) if graph.max_batch > 1 else ""

    def wrong_rows(self, outputs: Tensors, rows: int) -> str:
        """Which output has not the ``rows`` of its run; "" if all have, or the graph has no batch dimension."""
        for name, tensor in outputs.items():
            if self.graph.max_batch and tensor.shape[:1] != (rows,):
                count = f"{tensor.shape[0]} rows" if tensor.shape else "no rows"
                return f"its output {name!r} has {count} after a run of {rows}"
        return ""

    def keep_apart(self, why: str) -> None:
        """Give each request runs of its own from now on, because a run has shown that the graph mixes rows.

        On a device runs are not padded any more, because the padding is rows of earlier requests.
        """
        self.stay_apart = why
        self._bucketed = None
        self.inline_rows = 0

    def warm(self, example: Tensors, *, briefly: bool = False) -> None:
        """Run the smallest and the largest size with the rows of ``example``, repeated; on a device every size.

        On the CPU only the first run of a graph is slow. The first run of a size between these two takes half a
        millisecond longer than the next, or up to 13 % if it needs much memory (measured on the zoo's graphs). If
        ``briefly`` is true, sizes are run from the smallest up, and those above one that takes longer than `SLOW_S` are
        left out. The memory of the largest run is returned to the system: ONNX Runtime would keep it, and allocates it
        again at no cost that a later run shows.
        """
        if self.device.own_memory:  # runs are padded to one of the sizes, so each of them must be warm
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
        """Find the ``inline_rows``, if there is an example.

        After this, abandoning the load does not stop a run any more.
        """
        self._plain = run_options(NOT_RECORDED)
        if not example or not self._alike or self.stay_apart:
            return
        if self.device.own_memory:  # only its lane may use its buffers
            return
        for rows in self._sizes:
            if rows == self._slow_rows or not self._is_quick(example, rows):
                break
            self.inline_rows = rows

    def reload_alone(self, example: Tensors) -> bool:
        """If one row runs in less than `inline_limit_s`, reload the graph without helping threads; whether it did.

        Waking them for so little work costs more than they save: without them, LeNet-5's gRPC calls take a third less
        CPU time.
        """
        if self._threads == 1 or self.device.own_memory or not self._is_quick(example, 1):
            return False
        self._threads = 1
        self._session = open_graph(self._path, 1, self.device)
        return True

    def _is_quick(self, example: Tensors, rows: int) -> bool:
        """Whether a run takes less than `inline_limit_s`."""
        return takes_less(partial(self._run_s, example, rows), inline_limit_s())

    def _run_s(self, example: Tensors, rows: int, *, runs: int = 1, options: ort.RunOptions | None = None) -> float:
        """The seconds of the quickest of ``runs`` runs on ``rows`` rows of ``example``."""
        names = [spec.name for spec in self.graph.outputs]
        resized = self._resized(example, rows)
        run = partial(self._session.run, names, resized, options) if options else partial(self.run, names, resized)
        return min(timeit.repeat(run, number=1, repeat=runs))

    def _resized(self, example: Tensors, rows: int) -> Tensors:
        """The rows of ``example``, repeated or cut to ``rows``; unchanged if the graph has no batch dimension."""
        if not self.graph.max_batch:
            return example
        return {name: np.resize(tensor, (rows, *tensor.shape[1:])) for name, tensor in example.items()}


def buckets(max_batch: int) -> list[int]:
    """The batch sizes: the powers of two below ``max_batch``, and ``max_batch`` itself; only 1 if it is 0."""
    max_batch = max_batch or 1
    return [*(1 << i for i in range((max_batch - 1).bit_length())), max_batch]


def _shrinking() -> ort.RunOptions:
    """Options of a run after which ONNX Runtime returns its free memory to the system."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _fixed_rows(graph: Graph) -> bool:
    """Whether only the number of rows varies, so not for texts, which may have any length."""
    return graph.max_batch > 0 and all(
        -1 not in spec.shape[1:] and spec.datatype != "BYTES" for spec in (*graph.inputs, *graph.outputs)
    )
