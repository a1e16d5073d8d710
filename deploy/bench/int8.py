"""Static quantisation: the speed of int8 relative to float, and what it loses on the trained networks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deploy.bench import bare
from deploy.bench.graphs import FILE, HALF, SIDE, random_weights
from deploy.bench.plan import Plan
from deploy.bench.subject import Subject, patches
from deploy.bench.table import Row, Target, at_least, at_most, median_row
from models.segmentation.graph import MASK
from service.config import load_config
from service.package import Package, read_package
from training.classification.graph import PROBABILITIES, Served
from training.classification.served_file import to_onnx
from training.export.folding import fold_normalisation
from training.export.int8 import quantise
from training.export.onnx_file import save
from training.packages import find_version
from training.tasks import TASKS

FOLDER, ZOO = Path("build/bench/int8"), Path("models/zoo")
SUFFIX = "-int8"
SPEED = at_least(2.5)
# Images to calibrate random weights with: the speed does not depend on the ranges.
CALIBRATION = 64


class Compared(NamedTuple):
    """How a task's networks are compared: by a ``metric``, whose ``loss`` is in points, and running for ``outputs``."""

    metric: str
    outputs: Sequence[str]
    loss: Target


COMPARED = {
    "classify": Compared("accuracy", [PROBABILITIES], at_most(0.5)),
    "segment": Compared("mean_iou", [MASK], at_most(1)),
}


class Pair(NamedTuple):
    """A network of a ``task`` in float and in int8, as two packages in ``repository``."""

    repository: Path
    name: str
    task: str = "classify"

    @property
    def int8(self) -> str:
        """The name of the quantised one."""
        return self.name + SUFFIX


def rows(plan: Plan) -> Iterator[Row]:
    """ResNet-18's speed; then speed and loss of each network of the zoo that has an int8 variant."""
    yield speed("ResNet-18 at 224", resnet18(FOLDER), plan.rounds, plan.slow_s, SPEED)
    for pair in pairs(ZOO):
        yield speed(pair.name, pair, plan.rounds, plan.block_s)
        yield loss(pair, load_config().data)


def resnet18(repository: Path) -> Pair:
    """ResNet-18 with random weights, in float and in int8; unless it exists, it is written as an export writes it."""
    pair = Pair(repository, "resnet18")
    whole, small = (repository / name / "1" / FILE for name in (pair.name, pair.int8))
    if small.is_file():
        return pair
    model = to_onnx(
        Served(fold_normalisation(random_weights("resnet18")), HALF, HALF, embedding=False), (SIDE, SIDE, 3)
    )
    for path in (whole, small):
        path.parent.mkdir(parents=True, exist_ok=True)
    save(model, whole)
    quantise(model, np.concatenate([patches(seed, [SIDE, SIDE, 3]) for seed in range(CALIBRATION)]), small, HALF, HALF)
    return pair


def pairs(repository: Path) -> list[Pair]:
    """Every network in ``repository`` that has an int8 variant, by name."""
    names = {folder.name for folder in repository.iterdir() if folder.is_dir()}
    both = [name for name in sorted(names) if name + SUFFIX in names]
    return [Pair(repository, name, newest(repository, name).card.task) for name in both]


def speed(what: str, pair: Pair, rounds: int, seconds: int, target: Target | None = None) -> Row:
    """Images per second of int8 over float in bare ONNX Runtime, each run in its fastest way on the same cores.

    They take turns, so that a slow moment of the machine affects both: float, int8, float, int8, ..., float.
    """
    outputs = COMPARED[pair.task].outputs
    whole, small = (Subject(pair.repository, name, wanted=outputs) for name in (pair.name, pair.int8))
    way, small_way = (bare.best_way(subject, seconds / 4) for subject in (whole, small))
    floats, int8s = [bare.rows_per_s(whole, way, seconds)], []
    for _ in range(rounds):
        int8s.append(bare.rows_per_s(small, small_way, seconds))
        floats.append(bare.rows_per_s(whole, way, seconds))
    ratios = [2 * rate / (floats[i] + floats[i + 1]) for i, rate in enumerate(int8s)]
    beside = {"float images/s": sum(floats) / len(floats), "int8 images/s": sum(int8s) / len(int8s)}
    return median_row(f"{what}, int8 over float in ONNX Runtime", ratios, "x", target, **beside)


def loss(pair: Pair, data: Path | None) -> Row:
    """The points that int8 loses on the test split in the folder ``data``, through the serving engine.

    Without a folder, the row has the difference of the cards, and says so.
    """
    metric, _, most = COMPARED[pair.task]
    whole, small = (100 * measured(pair, name, data)[metric] for name in (pair.name, pair.int8))
    origin = "through the engine" if data else "by their cards"
    what = f"{pair.name}, {metric} lost by int8, {origin}"
    return Row(what, whole - small, "points", most, {"float %": whole, "int8 %": small})


def measured(pair: Pair, name: str, data: Path | None) -> Mapping[str, float]:
    """The metrics of the package ``name``."""
    if data:
        return TASKS[pair.task].evaluate(pair.repository, name, None, data, None).metrics
    said = newest(pair.repository, name).card.provenance
    assert said is not None  # every trained package has one
    return said.metrics


def newest(repository: Path, name: str) -> Package:
    """The newest version of ``name``."""
    return read_package(repository / name / str(find_version(repository, name)))
