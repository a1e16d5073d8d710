"""The GPU's memory: how much a model takes with each way to grow the arena, and whether a limit is kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deploy.bench.gpu.resnet50 import resnet50
from deploy.bench.gpu.served import FOLDER
from deploy.bench.plan import Plan
from deploy.bench.table import Row, at_least, at_most
from service.config import Config
from service.engine.cores import usable_cores
from service.engine.device import Device, cuda
from service.engine.nvml import readings
from service.engine.session import Session
from service.package import Graph, read_package

MIB = 1 << 20
# ResNet-50 has 51 MB of float16 weights, which do not fit: the session must fail, not ignore the limit.
TOO_LITTLE = 32 * MIB
ENOUGH = 4 << 30


def rows(_plan: Plan, device: Device, repository: Path = FOLDER) -> Iterator[Row]:
    """The bytes that running all batch sizes adds, by NVML; then whether the same fails with too little memory."""
    [before] = readings(device)
    yield Row("GPU power", before.power_w or 0, "W", None, {"utilisation %": 100 * before.utilisation})
    folder = resnet50(repository)
    for arena in ("same_as_requested", "next_power_of_two"):
        config = Config(gpus=(device.number,), gpu_arena=arena, gpu_memory_limit=ENOUGH)
        [start] = readings(device)
        session = _warm(folder, cuda(config))
        [end] = readings(device)
        used = (end.memory_used_bytes - start.memory_used_bytes) / MIB
        del session
        yield Row(f"ResNet-50 float16, all batch sizes warm, {arena}", used, "MiB", at_most(ENOUGH / MIB))
    yield Row("ResNet-50 float16 in 32 MiB is refused", float(_refused(folder, device)), "", at_least(1))


def _warm(folder: Path, device: Device) -> Session:
    package = read_package(folder)
    graph = package.card.program
    assert isinstance(graph, Graph)
    session = Session(package.path(graph.file), graph, usable_cores(), device)
    session.warm({spec.name: np.zeros((1, *spec.shape[1:]), "u1") for spec in graph.inputs})
    return session


def _refused(folder: Path, device: Device) -> bool:
    try:
        _warm(folder, cuda(Config(gpus=(device.number,), gpu_memory_limit=TOO_LITTLE)))
    except Exception as error:  # the library's exception classes have no narrower common base
        print(f"refused: {error}")
        return True
    return False
