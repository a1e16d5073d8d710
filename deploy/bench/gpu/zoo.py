"""Every package of the zoo: the provider that really runs it, and the difference of its answers from the CPU's."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from deploy.bench.gpu import bare
from deploy.bench.plan import Plan
from deploy.bench.table import Row, at_least, at_most
from service.engine.device import CPU, Device
from service.package import Graph, Loop, Package, read_package

ZOO = Path("models/zoo")
# float16 has 11 bits of mantissa: each rounding may cost half a thousandth of an answer near 1.
FLOAT16_TOLERANCE = 0.01

Inputs = dict[str, Any]


def rows(_plan: Plan, device: Device, repository: Path = ZOO) -> Iterator[Row]:
    """For each graph, the nodes on the device and the largest difference; for float graphs, also in float16."""
    for folder in sorted(path.parent for path in repository.glob("*/*/model.json")):
        package = read_package(folder)
        for graph, prefix in _graphs(package):
            yield from _of_graph(package, graph, prefix, device)


def _of_graph(package: Package, graph: Graph, prefix: str, device: Device) -> Iterator[Row]:
    name, path = f"{package.card.name}/{package.card.version} {graph.file}", package.path(graph.file)
    inputs, tolerance = _golden(package, graph, prefix)
    wanted = bare.session(path, CPU).run(None, inputs)
    found = bare.session(path, device)
    yield _nodes(name, found, device)
    yield Row(f"{name}, {device} against the CPU", _difference(found.run(None, inputs), wanted), "", at_most(tolerance))
    if bare.is_quantised(path):
        return
    with TemporaryDirectory() as folder:
        half = Path(folder, graph.file)
        bare.write_float16(path, half)
        halves = bare.session(half, device).run(None, inputs)
    difference = _difference(halves, wanted)
    yield Row(f"{name}, float16 on {device} against the CPU", difference, "", at_most(FLOAT16_TOLERANCE))


def _graphs(package: Package) -> list[tuple[Graph, str]]:
    """The graphs, and what the golden example puts before their tensors' names."""
    program = package.card.program
    if not isinstance(program, Loop):
        return [(program, "")]
    return [(program.step, "step."), *([(program.encoder, "encoder.")] if program.encoder else [])]


def _golden(package: Package, graph: Graph, prefix: str) -> tuple[Inputs, float]:
    golden = package.card.golden
    if golden is None:
        raise RuntimeError(f"{package} has no golden example")
    with np.load(package.path(golden.file), allow_pickle=False) as archive:
        return {spec.name: archive[prefix + spec.name] for spec in graph.inputs}, golden.tolerance


def _difference(found: list[Any], wanted: list[Any]) -> float:
    """The largest difference of all outputs, as a share of the output's largest value if that is above 1.

    Of whole numbers, such as a mask's classes, it is the share of those that differ, if that is less.
    """
    return max(map(_of_output, found, wanted))


def _of_output(found: Any, wanted: Any) -> float:
    largest = float(np.abs(found.astype("f8") - wanted.astype("f8")).max() / max(1, np.abs(wanted).max()))
    return largest if wanted.dtype.kind == "f" else min(largest, float((found != wanted).mean()))


def _nodes(name: str, session: Any, device: Device) -> Row:
    counts: dict[str, float] = {}
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    share = 100 * counts.get(device.provider, 0) / sum(counts.values())
    return Row(f"{name}, nodes on {device}", share, "%", at_least(1), counts)
