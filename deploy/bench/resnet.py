"""ResNet-18: the throughput of the surfaces relative to bare ONNX Runtime's on the same cores."""

import statistics
from collections.abc import Iterator

from deploy.bench import bare
from deploy.bench.graphs import FOLDER, NAME, resnet18
from deploy.bench.load import Load
from deploy.bench.plan import Plan
from deploy.bench.server import Server
from deploy.bench.subject import Subject
from deploy.bench.table import Row, at_least, median_row
from deploy.bench.throughput import GRPC, SLOW_REST, throughput

LOADS = [(surface, connections) for surface in (SLOW_REST, GRPC) for connections in (8, 32)]


def rows(plan: Plan) -> Iterator[Row]:
    """The images per second over each surface, in percent of bare runs before and after it."""
    subject = Subject(resnet18(FOLDER), NAME)
    way = bare.best_way(subject, plan.slow_s / 4)
    bares: list[list[float]] = []
    served: list[list[Load]] = []
    for _ in range(plan.rounds):
        with Server(subject.repository) as server:
            bares.append([bare.rows_per_s(subject, way, plan.slow_s)])
            served.append([])
            for surface, connections in LOADS:
                served[-1].append(throughput(server, subject, surface, connections, plan.slow_s))
                bares[-1].append(bare.rows_per_s(subject, way, plan.slow_s))
    yield median_row(
        "ResNet-18, bare ONNX Runtime", [rate for rates in bares for rate in rates], "images/s", **way._asdict()
    )
    for index, (surface, connections) in enumerate(LOADS):
        name = f"ResNet-18, {surface.title}, {connections} connections, of the bare ONNX Runtime"
        around = [(rates[index] + rates[index + 1]) / 2 for rates in bares]
        yield share(name, [loads[index] for loads in served], around)


def share(name: str, loads: list[Load], bares: list[float]) -> Row:
    """The images served in percent of the bare run's, round by round."""
    percents = [100 * seen.per_s / most for seen, most in zip(loads, bares, strict=True)]
    beside = {
        "images/s": statistics.median(seen.per_s for seen in loads),
        "p50 ms": statistics.median(seen.p50_ms for seen in loads),
        "p99 ms": statistics.median(seen.p99_ms for seen in loads),
    }
    return median_row(name, percents, "%", at_least(95), **beside)
