"""What lies in a repository's folder: the versions of each model, and whether their files have changed."""

import re
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from service.errors import InvalidPackage
from service.package import CARD, Name

_VERSION = re.compile("[1-9][0-9]{0,8}")
_MOST_ENTRIES = 100
_NAME: TypeAdapter[str] = TypeAdapter(Name)

# For every file: name, size, and when its content and its inode last changed (ns).
Fingerprint = frozenset[tuple[str, int, int, int]]


def is_name(name: str) -> bool:
    """Whether this is a valid name of a model."""
    try:
        _NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def versions(repository: Path, name: str) -> dict[int, Path]:
    """The folders ``<repository>/<name>/<version>/`` by version, ascending; empty if there is no such model."""
    folder = repository / name
    if not is_name(name) or not folder.is_dir():
        return {}
    found = {int(path.name): path for path in folder.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir()}
    return dict(sorted(found.items()))


def models(repository: Path) -> dict[str, dict[int, Path]]:
    """The versions of every model, by name. Other folders, such as ``lost+found``, are ignored.

    Raises:
        InvalidPackage: there is no such folder.
    """
    if not repository.is_dir():
        raise InvalidPackage(f"repository {repository}: no such folder")
    found = {path.name: versions(repository, path.name) for path in repository.iterdir()}
    return {name: paths for name, paths in sorted(found.items()) if paths}


def misplaced(repository: Path, only: str = "") -> dict[str, str]:
    """Why entries of the repository that have a graph or a card are no models, by name; ``only`` limits it to one."""
    found = {}
    for path in sorted(repository.iterdir()):
        if path.name.startswith(".") or only not in ("", path.name):
            continue
        with suppress(OSError):  # it may not be read, or was just removed
            if reason := _misplaced(path):
                found[path.name] = printable(reason)
    return found


def _misplaced(path: Path) -> str:
    """Why the entry is no model though it seems to be meant as one; "" if it is one, or does not seem so."""
    name, layout = path.name, "the layout is <repository>/<name>/<version>/model.onnx"
    if not path.is_dir():
        return f"{name}: is directly in the repository; {layout}" if _of_a_package(path) else ""
    inside = _entries(path)
    if is_name(name) and any(_VERSION.fullmatch(entry.name) and entry.is_dir() for entry in inside):
        return ""
    files = [entry.name for entry in inside if _of_a_package(entry)]
    folders = [entry.name for entry in inside if entry.is_dir() and any(map(_of_a_package, _entries(entry)))]
    if not is_name(name):
        allowed = "allowed are up to 64 letters, digits, _ and -, beginning with a letter or digit"
        return f"{name[:80]!r} is no valid model name; {allowed}" if files or folders else ""
    if files:
        return f"{name}/{files[0]}: is directly in the model's folder; {layout}, as in {name}/1/model.onnx"
    if folders:
        return f"{name}/{folders[0]}: is no version; versions are whole numbers from 1, as in {name}/1/model.onnx"
    return ""


def _entries(folder: Path) -> list[Path]:
    """The first entries of a folder; a folder of data may have millions."""
    return sorted(islice(folder.iterdir(), _MOST_ENTRIES))


def printable(text: str) -> str:
    """The text, with escapes for what cannot be encoded as UTF-8, which file names may contain."""
    return text.encode("utf-8", "backslashreplace").decode()


def _of_a_package(path: Path) -> bool:
    return (path.suffix == ".onnx" or path.name == CARD) and not path.is_dir()


def fingerprints(repository: Path) -> dict[str, dict[int, Fingerprint]]:
    """The fingerprint of every version's files, by model.

    Raises:
        InvalidPackage: as `models`.
    """
    return {
        name: {version: _fingerprint(path) for version, path in paths.items()}
        for name, paths in models(repository).items()
    }


def _fingerprint(folder: Path) -> Fingerprint:
    found = []
    for path in folder.iterdir():
        try:
            stat = path.stat()
        except OSError:  # it was just removed, or is a broken link: its name alone shows a change
            found.append((path.name, -1, 0, 0))
        else:
            found.append((path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return frozenset(found)
