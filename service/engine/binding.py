"""Buffers that graphs read and write in place: runs are bound to their addresses, for a range of rows.

On the CPU a buffer is an array of the host. On a device with memory of its own it is memory there and a copy on the
host; rows are copied between the two only by `send`, `fetch`, `put` and `get`. Both kinds also work with the CPU
provider.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial

import numpy as np
import onnxruntime as ort

from service.engine.device import Device
from service.engine.tensors import DTYPES, Tensor, Tensors
from service.package import Graph, TensorSpec

# The ``gpu_graph_id`` of a run that is neither recorded as a CUDA graph nor replayed from one.
NOT_RECORDED = -1
_KEPT_VIEWS = 256

Make = Callable[[TensorSpec, int], "Buffer"]


class Buffer:
    """``capacity`` rows of one tensor in host memory; the graph reads and writes the array ``rows`` itself."""

    place: tuple[str, int] = ("cpu", 0)

    def __init__(self, spec: TensorSpec, capacity: int) -> None:
        self.rows: Tensor = np.zeros((capacity, *spec.shape[1:]), DTYPES[spec.datatype])

    def address(self, first: int) -> int:
        """The address of row ``first``, for the graph."""
        return self.rows.ctypes.data + first * self.rows.strides[0]

    def send(self, first: int, end: int) -> None:
        """Copy rows ``first`` to ``end`` of ``rows`` to the graph. Nothing to do here: it reads ``rows``."""

    def fetch(self, first: int, end: int) -> None:
        """Copy rows ``first`` to ``end`` from the graph to ``rows``. Nothing to do here: it writes to ``rows``."""

    def put(self, first: int, rows: Tensor) -> None:
        """Give the graph these rows, from row ``first`` on; on a device, ``self.rows`` does not change."""
        self.rows[first : first + len(rows)] = rows

    def get(self, first: int, end: int) -> Tensor:
        """A copy of rows ``first`` to ``end`` as the graph wrote them; on a device, ``self.rows`` does not change."""
        return self.rows[first:end].copy()


class DeviceBuffer(Buffer):
    """A buffer on a device; ``rows`` is the host's copy.

    Runs and copies are synchronous: each returns after it has ended, so they never overlap.
    """

    def __init__(self, spec: TensorSpec, capacity: int, device: Device, session: ort.InferenceSession) -> None:
        super().__init__(spec, capacity)
        self.place = (device.kind, device.number)
        self._memory = ort.OrtValue.ortvalue_from_shape_and_type(self.rows.shape, self.rows.dtype.type, *self.place)
        self._session = session
        self._any_output = session.get_outputs()[0].name
        self._views: dict[tuple[int, int], tuple[ort.OrtValue, ort.IOBinding]] = {}
        self.send(0, capacity)

    def address(self, first: int) -> int:
        """The address of row ``first`` on the device."""
        start: int = self._memory.data_ptr()
        return start + first * self.rows.strides[0]

    def send(self, first: int, end: int) -> None:
        """Copy rows ``first`` to ``end`` of ``rows`` to the device."""
        self.put(first, self.rows[first:end])

    def fetch(self, first: int, end: int) -> None:
        """Copy rows ``first`` to ``end`` from the device to ``rows``."""
        self.rows[first:end] = self._view(first, end).numpy()

    def put(self, first: int, rows: Tensor) -> None:
        """Copy these rows to the device, from row ``first`` on."""
        self._view(first, first + len(rows)).update_inplace(np.ascontiguousarray(rows))

    def get(self, first: int, end: int) -> Tensor:
        """A copy of rows ``first`` to ``end`` from the device."""
        return np.array(self._view(first, end).numpy())

    def _view(self, first: int, end: int) -> ort.OrtValue:
        """A tensor that is a view of these rows. ONNX Runtime only makes such a view for a bound output."""
        if (first, end) not in self._views:
            if len(self._views) == _KEPT_VIEWS:
                self._views.clear()
            binding = self._session.io_binding()
            shape = (end - first, *self.rows.shape[1:])
            binding.bind_output(self._any_output, *self.place, self.rows.dtype.type, shape, self.address(first))
            self._views[first, end] = (
                binding.get_outputs()[0],
                binding,
            )  # the binding owns the view, so it is kept too
        return self._views[first, end][0]


def bind(
    session: ort.InferenceSession,
    inputs: Mapping[str, Buffer],
    outputs: Mapping[str, Buffer],
    first: int,
    end: int,
    *,
    graph_id: int = NOT_RECORDED,
) -> Callable[[], None]:
    """A function that runs the graph on rows ``first`` to ``end`` of the buffers, in place.

    Bind a `DeviceBuffer` to an input that the graph reads on the device. A buffer in host memory would be copied there
    once, when it is bound, and not again at each run.
    """
    binding = session.io_binding()
    for attach, buffers in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
        for name, buffer in buffers.items():
            shape = (end - first, *buffer.rows.shape[1:])
            attach(name, *buffer.place, buffer.rows.dtype.type, shape, buffer.address(first))
    return partial(session.run_with_iobinding, binding, run_options(graph_id))


# The options of all runs of the load on this thread: setting ``terminate`` ends the current run at its next node.
LOADING: ContextVar[ort.RunOptions] = ContextVar("LOADING")


def run_options(graph_id: int) -> ort.RunOptions:
    """Options of a run that is recorded as the CUDA graph ``graph_id``, if the session records CUDA graphs."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    return options


class Bucketed:
    """Runs a graph from buffers of ``graph.max_batch`` rows; each run is padded to the next of ``sizes``.

    So every run has a size that was warmed, for which cuDNN has chosen its algorithms, and the same addresses, which a
    CUDA graph needs. Call it from one thread at a time; a device has one lane.
    """

    def __init__(self, session: ort.InferenceSession, graph: Graph, sizes: list[int], make: Make) -> None:
        self._session = session
        self._sizes = sizes
        self._inputs = {spec.name: make(spec, graph.max_batch) for spec in graph.inputs}
        self._outputs = {spec.name: make(spec, graph.max_batch) for spec in graph.outputs}
        self._bound: dict[int, Callable[[], None]] = {}

    def run(self, outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
        """The named outputs for one batch of inputs, in that order, as new arrays."""
        rows = 0
        for name, tensor in inputs.items():
            self._inputs[name].put(0, tensor)
            rows = len(tensor)
        size = next(size for size in self._sizes if size >= rows)
        if size not in self._bound:
            self._bound[size] = bind(self._session, self._inputs, self._outputs, 0, size, graph_id=size)
        self._bound[size]()
        return [self._outputs[name].get(0, rows) for name in outputs]
