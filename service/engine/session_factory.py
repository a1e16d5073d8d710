"""Makes sessions for the device of this process, each with its share of the cores."""

from pathlib import Path

from onnxruntime import InferenceSession

from service.config import Config
from service.engine.cores import usable_cores
from service.engine.device import Device
from service.engine.onnx_graph import open_graph
from service.engine.session import Session
from service.package import Graph


class SessionFactory:
    """Divides the cores that this process may use into lanes, and makes sessions with as many threads.

    Attributes:
        lanes: how many lanes there are; a device with memory of its own has one.
        intra_op: how many threads one run of a graph has.
    """

    def __init__(self, config: Config, device: Device) -> None:
        cores = max(1, usable_cores() // config.workers)
        # At least two lanes, if there are cores for them, so that one is free while the other runs. A step loop uses
        # one lane at a time, so its runs have more threads.
        self.intra_op = config.intra_op or max(1, min(cores // 2, 4))
        self.lanes = 1 if device.own_memory else config.lanes or max(1, cores // self.intra_op)
        self._step_intra_op = config.intra_op or min(cores, 4)
        self._device = device

    def open_graph(self, path: Path) -> InferenceSession:
        """The graph in the file, opened on the CPU: there `row_probe` runs it, whatever the device is."""
        return open_graph(path, self.intra_op)

    def load(
        self, path: Path, graph: Graph, *, any_size: bool = False, opened: InferenceSession | None = None
    ) -> Session:
        """A session of the graph in the file; ``any_size`` and ``opened`` are as for `Session`."""
        intra_op = self._step_intra_op if any_size else self.intra_op
        opened = opened if self._device.kind == "cpu" else None
        return Session(path, graph, intra_op, self._device, any_size=any_size, opened=opened)
