"""The repository: a folder of packages, verified, loaded and warm."""

import re
import timeit
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from service.engine.session import Session
from service.engine.statistics import Statistics
from service.engine.tensors import Tensors, check_inputs
from service.errors import InvalidPackage, UnknownModel
from service.package import Package, read_package

MAX_GOLDEN_BYTES = 16 << 20
WARM_RUNS = 3
# A batch quicker than this is not worth waking a lane for, and being woken by it.
HANDOVER_S = 0.0002


class Model:
    """One version of one package, loaded: its graph has given the golden answer, and every bucket is warm.

    Raises:
        InvalidPackage: the graph is not the one the card describes, or does not give the golden answer.
    """

    def __init__(self, package: Package, intra_op: int) -> None:
        self.package = package
        self.card = package.card
        self.name = self.card.name
        self.version = str(self.card.version)
        self.statistics = Statistics()
        self.session = Session(package.path(self.card.graph.file), self.card.graph, intra_op)
        golden = self._check_golden()
        self.inline_rows = self._warm(golden)

    def _check_golden(self) -> Tensors:
        arrays = self._read_golden()
        inputs = {spec.name: arrays[spec.name] for spec in self.card.graph.inputs}
        for name, found in self._run(inputs).items():
            wanted = arrays[name]
            difference = np.abs(found.astype("f8") - wanted.astype("f8")).max() if found.shape == wanted.shape else None
            if difference is None or not difference <= self.card.golden.tolerance:
                raise InvalidPackage(
                    f"{self.package}: golden output {name!r} differs by {difference} "
                    f"(shape {found.shape}, wanted {wanted.shape}), tolerance {self.card.golden.tolerance}"
                )
        return inputs

    def _read_golden(self) -> Tensors:
        path = self.package.path(self.card.golden.file)
        if path.stat().st_size > MAX_GOLDEN_BYTES:
            raise InvalidPackage(
                f"{path}: {path.stat().st_size} bytes, a golden example has at most {MAX_GOLDEN_BYTES}"
            )
        specs = (*self.card.graph.inputs, *self.card.graph.outputs)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {spec.name: archive[spec.name] for spec in specs}
            check_inputs(self.name, specs, arrays)
        except Exception as error:  # numpy and zipfile raise anything on a damaged file
            raise InvalidPackage(f"{path}: no golden example of {[spec.name for spec in specs]}: {error}") from error
        return arrays

    def _warm(self, example: Tensors) -> int:
        """Run every bucket; the rows of the largest that takes less than `HANDOVER_S`, 0 where none does."""
        quick = 0
        for rows in buckets(self.card.graph.max_batch):
            inputs = {name: np.resize(tensor, (rows, *tensor.shape[1:])) for name, tensor in example.items()}
            run_s = min(timeit.repeat(partial(self._run, inputs), number=1, repeat=WARM_RUNS))
            quick = rows if run_s < HANDOVER_S else quick
        return quick

    def _run(self, inputs: Tensors) -> Tensors:
        names = [spec.name for spec in self.card.graph.outputs]
        try:
            return dict(zip(names, self.session.run(names, inputs), strict=True))
        except Exception as error:  # the library's own exception classes share no narrower base
            raise InvalidPackage(f"{self.package}: the graph fails on the golden example: {error}") from error


class Repository:
    """Every package under a folder, by name and version; the highest version answers where none is named.

    Raises:
        InvalidPackage: the folder is missing or empty, or one of its packages may not be served.
    """

    def __init__(self, folder: Path, intra_op: int) -> None:
        packages = [read_package(path) for path in _version_folders(folder)]
        if not packages:
            raise InvalidPackage(f"{folder}: no package <name>/<version>/ there")
        self._models: dict[str, dict[str, Model]] = {}
        for package in packages:
            model = Model(package, intra_op)
            self._models.setdefault(model.name, {})[model.version] = model

    def __iter__(self) -> Iterator[Model]:
        for versions in self._models.values():
            yield from versions.values()

    @property
    def names(self) -> list[str]:
        """The names of the models that are served."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """The versions of one model that are served, oldest first."""
        return list(self._versions(name))

    def get(self, name: str, version: str | None = None) -> Model:
        """The model, in its highest version where ``version`` is None or empty.

        Raises:
            UnknownModel: naming what there is.
        """
        versions = self._versions(name)
        if not version:
            return versions[next(reversed(versions))]
        if version not in versions:
            raise UnknownModel(f"model {name!r} has no version {version[:80]!r}; it has {list(versions)}")
        return versions[version]

    def select(self, name: str | None = None, version: str | None = None) -> list[Model]:
        """One version of a model, all its versions where none is named, all models where none is.

        Raises:
            UnknownModel: naming what there is.
        """
        if not name:
            return list(self)
        return [self.get(name, version)] if version else list(self._versions(name).values())

    def _versions(self, name: str) -> dict[str, Model]:
        if name not in self._models:
            raise UnknownModel(f"no model {name[:80]!r}; there are {self.names}")
        return self._models[name]


def buckets(max_batch: int) -> list[int]:
    """The batch sizes run once before ready: the powers of two below ``max_batch``, and ``max_batch``."""
    return [*(1 << i for i in range((max_batch - 1).bit_length())), max_batch]


def _version_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidPackage(f"repository {folder}: no such folder")
    found = [p for p in folder.glob("*/*") if p.is_dir() and re.fullmatch("[1-9][0-9]{0,8}", p.name)]
    return sorted(found, key=lambda p: (p.parent.name, int(p.name)))
