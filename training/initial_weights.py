"""The weights that training may start from: those of a package, a run or a file."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.weights import WeightsError, give_weights, read_weights
from service.errors import InvalidPackage
from service.package import CARD, InitialWeights, Package, read_package, sha256
from training.checkpoint import FILE, read_checkpoint
from training.craft.recipe import Recipe
from training.errors import RunError
from training.export.folding import unfold_normalisation
from training.export.initialisers import Initialisers, read_initialisers
from training.packages import INT8_SUFFIX, versions

# A classifier's graph wraps the network, and wraps it twice if it also returns class activation maps. A segmentation
# network is the second of the graphs that its package's is joined from.
PREFIXES = ("model.network.", "model.", "1_network.")


@dataclass(frozen=True)
class Found:
    """Weights that were read from ``origin``, and their ``record`` for a card.

    ``values`` are keyed by the names of parameters. Those of a ``package`` are its graph's, into which normalisation
    is folded; those of a run come with the ``recipe`` that trained them.
    """

    origin: Path
    record: InitialWeights
    values: Mapping[str, Tensor] | Initialisers
    package: Package | None = None
    recipe: Recipe | None = None

    @property
    def names(self) -> Collection[str]:
        """The names of the parameters, as far as they are known."""
        return self.values.named.keys() if isinstance(self.values, Initialisers) else self.values.keys()

    def give(
        self, model: nn.Module, fresh: Collection[str] = (), *, part: str = "", method: str = "forward"
    ) -> list[nn.BatchNorm2d]:
        """Load the weights into ``model``, except into its submodules ``fresh``.

        For a package's weights, ``part`` is the submodule whose convolutions had their normalisation folded in, and
        ``method`` is the method that runs it. The layers that are returned need `measure_statistics` before training.

        Raises:
            WeightsError: as `models.weights.give_weights`.
        """
        layers: list[nn.BatchNorm2d] = []
        if isinstance(self.values, Initialisers):
            values, layers = _unfolded(self.values, model, part, method)
        else:
            values = dict(self.values)
        give_weights(model, values, str(self.origin), fresh)
        return layers


@dataclass(frozen=True)
class Started:
    """The ``record`` of a network's initial weights, and the layers ``unfolded`` that still lack their statistics."""

    record: InitialWeights | None = None
    unfolded: Sequence[nn.BatchNorm2d] = ()


def find_weights(path: Path) -> Found:
    """The weights at ``path``: the folder of a package, its card or its graph; the folder of a run; or a file.

    Raises:
        RunError: a folder holds neither a package nor a checkpoint.
        WeightsError: a package contradicts itself or is quantised, or a file is no state dictionary.
    """
    if path.is_dir():
        if (path / CARD).is_file():
            return _of_package(path)
        if own := versions(path.parent, path.name):
            raise RunError(f"{path}: has versions of a package, not {FILE}; name one, such as {path / str(max(own))}")
        return _of_run(path)
    if path.name == CARD or path.suffix == ".onnx":
        if path.is_file() and not (path.parent / CARD).is_file():
            raise WeightsError(f"{path}: there is no {CARD} beside the graph; name a graph inside a package")
        return _of_package(path.parent)
    return Found(path, values=read_weights(path), record=InitialWeights(name=path.name, sha256=sha256(path)))


def _of_run(run: Path) -> Found:
    checkpoint = read_checkpoint(run)
    record = InitialWeights(
        name=run.resolve().name,
        sha256=sha256(checkpoint.file),
        dataset=checkpoint.dataset,
        trained_commit=checkpoint.git_commit,
        initial_weights=checkpoint.initial_weights,
    )
    return Found(checkpoint.file, record, checkpoint.weights, recipe=checkpoint.recipe)


def _of_package(folder: Path) -> Found:
    try:
        package = read_package(folder.resolve())
    except InvalidPackage as error:
        raise WeightsError(str(error)) from error
    card = package.card
    if card.provenance and card.provenance.weights == "int8":
        raise WeightsError(
            f"{folder}: the weights of {card.name}/{card.version} are quantised to 8 bits (int8); training starts from "
            f"float weights, such as the package {card.name.removesuffix(INT8_SUFFIX)!r}"
        )
    graphs = [read_initialisers(package.path(file)) for file in card.program.files]
    named = {_inner(name): value for graph in graphs for name, value in graph.named.items()}
    values = Initialisers(named, [value for graph in graphs for value in graph.unnamed])
    said = card.provenance
    record = InitialWeights(
        name=card.name,
        version=card.version,
        sha256=sha256(package.path(CARD)),
        dataset=said.dataset if said else None,
        trained_commit=said.trained_commit if said else None,
        initial_weights=said.initial_weights if said else None,
    )
    return Found(folder, record, values, package=package)


def _inner(name: str) -> str:
    """The name of a parameter inside its network."""
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


def _unfolded(
    found: Initialisers, model: nn.Module, part: str, method: str
) -> tuple[dict[str, Tensor], list[nn.BatchNorm2d]]:
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    values = {name: torch.from_numpy(array.copy()) for name, array in found.fitted(shapes).items()}
    prefix = f"{part}." if part else ""
    inner = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    outer = {name: value for name, value in values.items() if not name.startswith(prefix)}
    inner, layers = unfold_normalisation(inner, model.get_submodule(part), method)
    return outer | {f"{prefix}{name}": value for name, value in inner.items()}, layers
