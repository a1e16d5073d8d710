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
# What decides the weights and the package; the packages themselves don't.
CODE = ("pyproject.toml", "models", "training", "service", ":(exclude)models/zoo")
LIBRARIES = ("torch", "lightning", "numpy", "onnx", "onnxscript", "onnxruntime")
EXPORTERS = ("onnx", "onnxscript", "onnxruntime")


def git_commit(root: Path = ROOT) -> str:
    """The commit of the code, with ``-dirty`` where a file of it differs from that, or ``uncommitted``."""
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return "uncommitted"
    return f"{head}-dirty" if _git(root, "status", "--porcelain", "--", *CODE) else head


def library_versions() -> dict[str, str]:
    """The version of python and of every library that has a say in the numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


class Made(Protocol):
    """Weights, of which somebody remembers when and with what they were made; ``dataset`` is None where nobody does."""

    @property
    def created(self) -> str:
        """When."""

    @property
    def libraries(self) -> Mapping[str, str]:
        """With which versions."""

    @property
    def dataset(self) -> Dataset | None:
        """On what."""

    @property
    def initial_weights(self) -> InitialWeights | None:
        """From what."""


def describe_origin(made: Made, recipe: Mapping[str, Any], seed: int, **counted: Any) -> Provenance:
    """A card's word on where its package comes from: everything but the metrics, which only a written one can have.

    ``counted`` are what the export has found out: parity, parameters, macs, how weights are stored, a temperature.
    The libraries that export have the versions of now, whatever the weights were trained with.
    """
    return Provenance(
        recipe=dict(recipe),
        seed=seed,
        git_commit=git_commit(),
        created=made.created,
        libraries={**made.libraries, **{name: version(name) for name in EXPORTERS}},
        dataset=made.dataset,
        initial_weights=made.initial_weights,
        metrics={},
        **counted,
    )


def describe_dataset(source: Origin, splits: dict[str, int]) -> Dataset:
    """The card's word on ``source``: its files as published, each with the sha256 of its raw content."""
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
    """``dataset`` as a card says it: with the test split, of so many examples."""
    return dataset.model_copy(update={"splits": dataset.splits | {"test": examples}})
