"""Where weights come from: the code's commit, the libraries' versions, the data's checksums."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from service.package import Dataset, InitialWeights, Provenance
from training.data.source import Origin

ROOT = Path(__file__).parent.parent
# The files that determine the weights and the package; the shipped packages don't.
CODE = ("pyproject.toml", "models", "training", "service", ":(exclude)models/zoo")
EXPORTERS = ("onnx", "onnxscript", "onnxruntime", "pillow")  # Pillow prepares the images that a package is measured on
LIBRARIES = ("torch", "lightning", "torchmetrics", "kornia", "numpy", *EXPORTERS)


def git_commit(root: Path = ROOT) -> str:
    """The commit of the code, with ``-dirty`` if a file of it has changed, or ``uncommitted`` if there is none."""
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return "uncommitted"
    return f"{head}-dirty" if _git(root, "status", "--porcelain", "--", *CODE) else head


def library_versions() -> dict[str, str]:
    """The version of python and of every library that affects the numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


class Made(Protocol):
    """Weights with a record of how they were made; ``dataset`` is None if it is not known."""

    @property
    def created(self) -> str:
        """When they were made."""

    @property
    def trained_commit(self) -> str | None:
        """The commit of the code that trained them; None if it is not known."""

    @property
    def libraries(self) -> Mapping[str, str]:
        """The versions of the libraries they were made with."""

    @property
    def dataset(self) -> Dataset | None:
        """What they were trained on."""

    @property
    def initial_weights(self) -> InitialWeights | None:
        """What their training started from, if not from new weights."""


def describe_origin(made: Made, recipe: Mapping[str, Any], seed: int, **counted: Any) -> Provenance:
    """The provenance on a package's card, without metrics: they are measured once the package is written.

    ``counted`` is what the export has determined: parity, parameters, macs, how weights are stored, a temperature.
    The card names the commit that trained and the one that exports now. The libraries that export are listed with their
    present versions, whatever the weights were trained with.
    """
    return Provenance(
        recipe=dict(recipe),
        seed=seed,
        git_commit=git_commit(),
        trained_commit=made.trained_commit,
        created=made.created,
        libraries={**made.libraries, **{name: version(name) for name in EXPORTERS}},
        dataset=made.dataset,
        initial_weights=made.initial_weights,
        metrics={},
        **counted,
    )


def describe_dataset(source: Origin, splits: dict[str, int]) -> Dataset:
    """The card's description of ``source``: its files as published, each with the sha256 of its raw content."""
    files = dict(source.files)
    return Dataset(name=source.name, licence=source.licence, source=source.homepage, files=files, splits=splits)


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def with_test(dataset: Dataset, examples: int) -> Dataset:
    """``dataset`` with a test split of so many ``examples``, as a card describes it."""
    return dataset.model_copy(update={"splits": dataset.splits | {"test": examples}})
