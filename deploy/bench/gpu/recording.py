"""CUDA graphs: a recorded and replayed run of a fixed size, against one that launches its kernels one by one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from deploy.bench.gpu import bare
from deploy.bench.gpu.resnet50 import resnet50
from deploy.bench.gpu.served import FOLDER
from deploy.bench.gpu.zoo import ZOO
from deploy.bench.plan import Plan
from deploy.bench.table import Row
from service.engine.cores import usable_cores
from service.engine.device import Device
from service.engine.session import Session
from service.package import Graph, read_package

SIZES = (1, 8, 32)


def rows(
    plan: Plan, device: Device, repository: Path = FOLDER, zoo: Path = ZOO, sizes: tuple[int, ...] = SIZES
) -> Iterator[Row]:
    """The median time of a run in milliseconds, through the engine's own session, both ways."""
    for folder in (zoo / "lenet5" / "1", resnet50(repository)):
        package = read_package(folder)
        graph = package.card.program
        assert isinstance(graph, Graph)
        path, threads = package.path(graph.file), usable_cores()
        launched = Session(path, graph, threads, device)
        recorded = Session(path, graph, threads, replace(device, records=True))
        for size in sizes:
            images = np.random.default_rng(0).integers(0, 256, (size, *graph.inputs[0].shape[1:]), dtype="u1")
            plain, replayed = (_run_ms(session, images, plan.calls) for session in (launched, recorded))
            what = f"{package.card.name}, batch {size}, replayed as a CUDA graph on {device}"
            yield Row(what, replayed, "ms", None, {"launched ms": plain, "times as quick": plain / replayed})


def _run_ms(session: Session, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], calls: int) -> float:
    names = [spec.name for spec in session.graph.outputs]
    return bare.p50_ms(lambda: session.run(names, {session.graph.inputs[0].name: images}), calls)
