"""The one way from a trained network to a package: traced, compared with torch, described, measured, and placed.

A package is written into a temporary folder, and moved into the repository only if everything holds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from service.package import Card, Package, Provenance, read_package
from training.craft.gate import Bound
from training.craft.metric import Metric
from training.errors import ExportError
from training.evaluation import Measured, Measuring
from training.export.float16 import store_float16
from training.export.how import Storage
from training.export.onnx_file import Exported, check_parity, differences, save, trace
from training.history import Row, draw
from training.packages import CURVE, GOLDEN, check_gate, checksums, place, shrink, write_card
from training.provenance import Made, describe_origin

Store = Callable[[onnx.ModelProto, Path], None]
Arrays = Mapping[str, npt.NDArray[Any]]


def as_float16(model: onnx.ModelProto, path: Path) -> None:
    """Write ``model`` to ``path``, its weights in 16 bits."""
    store_float16(model)
    save(model, path)


@dataclass(frozen=True)
class GraphFile:
    """A graph of a package: the ``module``, traced with ``examples`` (rows of each input, in order) into ``file``.

    It is compared with torch on the examples, in batches of 1, 3 and ``max_batch`` rows. ``free`` has the dimensions
    beside the batch that may have any size, ``store`` writes the traced graph, and ``name`` tells it from others of the
    package. Only an ``exact`` graph must equal torch, but for the share ``unequal`` of an output's values; that of a
    quantised one cannot.

    ``make`` makes a graph that cannot be traced in one piece; ``module`` then only says what it is compared with, and
    may have a part of its outputs. ``others`` are examples of other sizes, by name, that are compared, too.
    """

    file: str
    module: Exported
    examples: Arrays
    max_batch: int
    free: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)
    store: Store = as_float16
    name: str = ""
    exact: bool = True
    unequal: float = 0.0
    make: Callable[[], onnx.ModelProto] | None = None
    others: Mapping[str, Arrays] = field(default_factory=dict)


class Subject(Made, Protocol):
    """A trained network with what its package's card says of it, as far as all tasks have it."""

    @property
    def title(self) -> str:
        """The model and its data set, for people."""

    @property
    def history(self) -> Sequence[Row]:
        """The learning curve; empty if there is none."""


S = TypeVar("S", bound=Subject)


class Draft(ABC, Generic[S]):
    """A package to be written: what its task adds to the way that all packages go.

    ``recipe`` and ``seed`` are those on the card, ``gate`` has the bounds of metrics on the validation split,
    and ``metrics`` are those of the learning curve. ``weights`` says how the weights are stored, ``parameters``
    and ``macs`` count the network, and ``counted`` is what else the provenance says of this export.
    """

    subject: S
    recipe: Mapping[str, Any]
    seed: int
    gate: Mapping[str, Bound]
    metrics: Sequence[Metric]
    parameters: int
    macs: int
    weights: Storage = "float16"
    counted: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def graphs(self) -> Sequence[GraphFile]:
        """The graphs that are traced, compared with torch and stored."""

    @abstractmethod
    def golden(self, folder: Path) -> Arrays:
        """The golden example: inputs, and the outputs that a server must give; the graphs are in ``folder``."""

    @abstractmethod
    def write_files(self, folder: Path) -> None:
        """Write what belongs to the package beside the graphs, the golden example and a run's learning curve."""

    @abstractmethod
    def describe(self, folder: Path, golden: Arrays, provenance: Provenance) -> Card:
        """The card of the package in ``folder``, which holds all of its files but the card."""

    @abstractmethod
    def measure(self, repository: Path, package: Package, split: Measuring) -> Measured | None:
        """The metrics of the written ``package`` on a split, through the serving engine; None if there is no split."""


def write(
    draft: Draft[Any], name: str, repository: Path, *, version: int | None = None, replace: bool = False
) -> Package:
    """Write the package ``name`` into ``repository``, as its next version unless given, and return it.

    The same draft, code and libraries give the same bytes. The test split is measured once, and decides nothing.

    Raises:
        ExportError: the name is invalid, the version exists and ``replace`` is false, parity with torch is broken, or
            the gate is missed on the validation split. The repository is then unchanged.
    """
    return place(name, repository, lambda folder: _write(draft, folder), version=version, replace=replace)


def _write(draft: Draft[Any], folder: Path) -> None:
    parity = {key: value for graph in draft.graphs() for key, value in _write_graph(graph, folder).items()}
    golden = draft.golden(folder)
    np.savez_compressed(folder / GOLDEN, **golden)  # type: ignore[arg-type]
    draft.write_files(folder)
    if draft.subject.history:
        draw(draft.subject.history, draft.metrics, draft.subject.title, folder / CURVE)
        shrink(folder / CURVE)
    counted = {"parity": parity, "parameters": draft.parameters, "macs": draft.macs, "weights": draft.weights}
    origin = describe_origin(draft.subject, draft.recipe, draft.seed, **counted, **draft.counted)
    card = draft.describe(folder, golden, origin)
    write_card(card, folder)
    measured = origin.model_copy(update=_measure(draft, folder))
    # Measuring may have added files, such as a diagram.
    write_card(card.model_copy(update={"files": checksums(folder), "provenance": measured}), folder)


def _write_graph(graph: GraphFile, folder: Path) -> dict[str, float]:
    """Write the file of ``graph``; return its differences from torch, by batch and by the name of another size."""
    path, module = folder / graph.file, graph.module
    graph.store(graph.make() if graph.make else _trace(graph), path)
    found = differences(path, module, graph.examples, (1, 3, graph.max_batch), graph.unequal)
    for size, examples in graph.others.items():
        (found[size],) = differences(path, module, examples, (1,), graph.unequal).values()
    if graph.exact:
        check_parity(found)
    return {f"{graph.name}, {batch}" if graph.name else batch: value for batch, value in found.items()}


def _trace(graph: GraphFile) -> onnx.ModelProto:
    assert isinstance(graph.module, nn.Module)
    rows = {name: torch.from_numpy(np.resize(array, (2, *array.shape[1:]))) for name, array in graph.examples.items()}
    return trace(graph.module, rows, graph.module.outputs, graph.free)


def _measure(draft: Draft[Any], folder: Path) -> dict[str, Any]:
    """What the provenance says of both splits; the gate is checked before the test split is read.

    Raises:
        ExportError: the gate is missed, or there is nothing to measure it on.
    """
    repository, package = folder.parent.parent, read_package(folder)
    validation = draft.measure(repository, package, "validation")
    if draft.gate:
        if validation is None:
            raise ExportError(f"{package.card.name}: its gate needs examples that were not trained on; there are none")
        check_gate(draft.gate, validation.metrics)
    test = draft.measure(repository, package, "test")
    return {
        "validation": dict(validation.metrics) if validation else {},
        "metrics": dict(test.metrics) if test else {},
        "intervals": dict(test.intervals) if test else {},
    }
