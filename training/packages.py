"""Packages on disk: writes one atomically, and finds their names, versions and sizes."""

import math
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from service.nearest import did_you_mean
from service.package import CARD, Card, Name, Package, read_package, sha256
from training.craft.gate import Bound
from training.errors import EvaluationError, ExportError

INT8_SUFFIX = "-int8"  # of the name of a quantised package
GRAPH, LABELS, GOLDEN, CURVE = "model.onnx", "labels.txt", "golden.npz", "card.png"
TOLERANCE = 1e-4  # of golden answers: other processors sum in another order
SHOWN = 5  # labels in an answer, unless the caller asks for another number
MAX_BATCH, LEAST_MAX_BATCH = 64, 8
BATCH_MACS = 16 << 30  # at most so many in one run, unless LEAST_MAX_BATCH rows need more
COLOURS = 32  # in the picture of a diagram
NAMES: TypeAdapter[str] = TypeAdapter(Name)


def place(
    name: str, repository: Path, write: Callable[[Path], None], *, version: int | None = None, replace: bool = False
) -> Package:
    """Move the package that ``write`` writes into a temporary folder to ``repository``, and return it.

    Its version is the next one of ``name`` unless given.

    Raises:
        ExportError: the name is invalid, the version exists and ``replace`` is false, or as ``write``. The repository
            is then unchanged.
    """
    name = _checked_name(name)
    version = version or max(versions(repository, name), default=0) + 1
    target = repository / name / str(version)
    if target.exists() and not replace:
        raise ExportError(f"{target} exists; a version never changes (--replace makes an exception)")
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository, prefix=".export-") as temporary:
        candidate = Path(temporary) / name / str(version)
        candidate.mkdir(parents=True)
        write(candidate)
        _move(candidate, target, Path(temporary) / "replaced")
    return read_package(target)


def check_gate(wanted: Mapping[str, Bound], metrics: Mapping[str, float]) -> None:
    """Compare the ``metrics`` of a package on the validation split with the bounds that are ``wanted``.

    Raises:
        ExportError: a metric is worse than wanted or was not measured; the message names each of them.
    """
    missed = [
        f"{name} {f'is {metrics[name]:.4f}' if name in metrics else 'was not measured'}; {bound} is required"
        for name, bound in wanted.items()
        if not bound.allows(metrics.get(name, math.nan))
    ]
    if missed:
        raise ExportError(f"gate, on the validation split: {'; '.join(missed)}")


def versions(repository: Path, name: str) -> list[int]:
    """The versions of ``name`` in ``repository``, in ascending order."""
    folder = repository / name
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []


def size(package: Package) -> int:
    """Bytes of all files of the package."""
    return sum(path.stat().st_size for path in package.folder.iterdir())


def find_version(repository: Path, name: str, version: int | None = None) -> int:
    """The ``version`` of ``name`` in ``repository``, the highest if none is given.

    Raises:
        EvaluationError: there is no such package, or no such version of it.
    """
    found = versions(repository, name)
    if not found:
        raise EvaluationError(f"{repository}: no package {name!r}{did_you_mean(name, packages(repository))}")
    if version is not None and version not in found:
        raise EvaluationError(f"{repository}: {name} has no version {version}; it has {', '.join(map(str, found))}")
    return version or max(found)


def packages(repository: Path) -> list[str]:
    """The names of the packages in ``repository``, sorted."""
    if not repository.is_dir():
        return []
    return sorted(folder.name for folder in repository.iterdir() if versions(repository, folder.name))


def largest_batch(macs: int) -> int:
    """The largest batch, in rows of ``macs`` each: a power of two, `MAX_BATCH` except for expensive networks."""
    rows = max(LEAST_MAX_BATCH, min(MAX_BATCH, BATCH_MACS // max(macs, 1)))
    return 1 << (rows.bit_length() - 1)


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of the package in ``folder`` but its card, which lists them."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != CARD}


def write_card(card: Card, folder: Path) -> None:
    """Write ``card`` into ``folder``."""
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", "utf-8")


def make_default(package: Package) -> Package:
    """Make the package the default of its task, in its card: it answers requests that name no model."""
    card = package.card
    card = card.model_copy(update={"serving": card.serving.model_copy(update={"default": True})})
    with tempfile.TemporaryDirectory(dir=package.folder.parent, prefix=".card-") as temporary:
        write_card(card, Path(temporary))
        os.replace(Path(temporary) / CARD, package.folder / CARD)
    return Package(package.folder, card)


def shrink(path: Path) -> None:
    """Reduce the picture ``path`` to 32 colours: enough for a diagram, in a third of the bytes."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS)
    small.save(path, "PNG", optimize=True)


def _checked_name(name: str) -> str:
    try:
        return NAMES.validate_python(name)
    except ValidationError as error:
        raise ExportError(f"{name[:80]!r} is no package name; allowed are 1 to 64 letters, digits, _ and -") from error


def _move(candidate: Path, target: Path, replaced: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        os.rename(target, replaced)
    os.rename(candidate, target)
