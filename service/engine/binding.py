"""Memory that graphs read and write where it is, bound by address, a range of rows at a time.

On the CPU that is the host's own arrays. On a device of its own memory it is a buffer there and a copy of it on the
host, and rows pass between the two only when they are sent or fetched. Both run on the CPU provider, too.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial

import numpy as np
import onnxruntime as ort

from service.engine.device import Device
from service.engine.tensors import DTYPES, Tensor, Tensors
from service.package import Graph, TensorSpec

# Of the ``gpu_graph_id``: this run is neither recorded as a CUDA graph nor replayed from one.
NOT_RECORDED = -1
_KEPT_VIEWS = 256

Make = Callable[[TensorSpec, int], "Buffer"]


class Buffer:
    """``capacity`` rows of one tensor in host memory: ``rows``, which the graph reads and writes themselves."""

    place: tuple[str, int] = ("cpu", 0)

    def __init__(self, spec: TensorSpec, capacity: int) -> None:
        self.rows: Tensor = np.zeros((capacity, *spec.shape[1:]), DTYPES[spec.datatype])

    def address(self, first: int) -> int:
        """Where the graph finds row ``first``."""
        return self.rows.ctypes.data + first * self.rows.strides[0]

    def send(self, first: int, end: int) -> None:
        """Have the graph see what ``rows`` holds there."""

    def fetch(self, first: int, end: int) -> None:
        """Have ``rows`` hold there what the graph wrote."""

    def put(self, first: int, rows: Tensor) -> None:
        """Give these to the graph from row ``first`` on; on a device, past ``self.rows``."""
        self.rows[first : first + len(rows)] = rows

    def get(self, first: int, end: int) -> Tensor:
        """What the graph wrote there, copied; on a device, past ``self.rows``."""
        return self.rows[first:end].copy()


class DeviceBuffer(Buffer):
    """The same on a device; ``rows`` is the host's copy.

    A run waits for its own end before it returns, and copies here wait for theirs: nothing is in flight between.
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
        """Where the graph finds row ``first``, on the device."""
        start: int = self._memory.data_ptr()
        return start + first * self.rows.strides[0]

    def send(self, first: int, end: int) -> None:
        """Copy those rows to the device."""
        self.put(first, self.rows[first:end])

    def fetch(self, first: int, end: int) -> None:
        """Copy those rows from the device."""
        self.rows[first:end] = self._view(first, end).numpy()

    def put(self, first: int, rows: Tensor) -> None:
        """Copy these to the device."""
        self._view(first, first + len(rows)).update_inplace(np.ascontiguousarray(rows))

    def get(self, first: int, end: int) -> Tensor:
        """A copy from the device."""
        return np.array(self._view(first, end).numpy())

    def _view(self, first: int, end: int) -> ort.OrtValue:
        """A tensor of these rows only. The library makes none of a part of another, but for a bound output."""
        if (first, end) not in self._views:
            if len(self._views) == _KEPT_VIEWS:
                self._views.clear()
            binding = self._session.io_binding()
            shape = (end - first, *self.rows.shape[1:])
            binding.bind_output(self._any_output, *self.place, self.rows.dtype.type, shape, self.address(first))
            self._views[first, end] = (binding.get_outputs()[0], binding)  # which owns the view's description
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
    """A run of rows ``first`` to ``end`` that reads and writes the buffers where they are.

    An input in the host's memory that a graph on a device wants on the device would be copied now, once, and not
    again at a run: bind a `DeviceBuffer`.
    """
    binding = session.io_binding()
    for attach, buffers in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
        for name, buffer in buffers.items():
            shape = (end - first, *buffer.rows.shape[1:])
            attach(name, *buffer.place, buffer.rows.dtype.type, shape, buffer.address(first))
    return partial(session.run_with_iobinding, binding, run_options(graph_id))


# Options of the runs of the load on this thread: their ``terminate`` ends the one at hand, at its next node.
LOADING: ContextVar[ort.RunOptions] = ContextVar("LOADING")


def run_options(graph_id: int) -> ort.RunOptions:
    """Options of a run that is recorded as the CUDA graph of this number, where the session records any."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    return options


class Bucketed:
    """Runs of a graph from buffers of ``graph.max_batch`` rows, each filled up to the next of ``sizes``.

    So every run has a size that was warmed, for which cuDNN has found its algorithms, and addresses that stay, which
    a CUDA graph needs. One run at a time: a device has one lane.
    """

    def __init__(self, session: ort.InferenceSession, graph: Graph, sizes: list[int], make: Make) -> None:
        self._session = session
        self._sizes = sizes
        self._inputs = {spec.name: make(spec, graph.max_batch) for spec in graph.inputs}
        self._outputs = {spec.name: make(spec, graph.max_batch) for spec in graph.outputs}
        self._bound: dict[int, Callable[[], None]] = {}

    def run(self, outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
        """The named outputs, in that order, for one batch of inputs; fresh arrays."""
        rows = 0
        for name, tensor in inputs.items():
            self._inputs[name].put(0, tensor)
            rows = len(tensor)
        size = next(size for size in self._sizes if size >= rows)
        if size not in self._bound:
            self._bound[size] = bind(self._session, self._inputs, self._outputs, 0, size, graph_id=size)
        self._bound[size]()
        return [self._outputs[name].get(0, rows) for name in outputs]
