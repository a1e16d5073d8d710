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

# Of every file: name, size, and when its content and its entry last changed (ns).
Fingerprint = frozenset[tuple[str, int, int, int]]


def is_name(name: str) -> bool:
    """Whether a model may be called so."""
    try:
        _NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def versions(repository: Path, name: str) -> dict[int, Path]:
    """The folders ``<repository>/<name>/<version>/``, ascending; none where there is no such model."""
    folder = repository / name
    if not is_name(name) or not folder.is_dir():
        return {}
    found = {int(path.name): path for path in folder.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir()}
    return dict(sorted(found.items()))


def models(repository: Path) -> dict[str, dict[int, Path]]:
    """The versions of every model, by name; other folders, such as ``lost+found``, are passed over.

    Raises:
        InvalidPackage: there is no such folder.
    """
    if not repository.is_dir():
        raise InvalidPackage(f"repository {repository}: no such folder")
    found = {path.name: versions(repository, path.name) for path in repository.iterdir()}
    return {name: paths for name, paths in sorted(found.items()) if paths}


def misplaced(repository: Path, only: str = "") -> dict[str, str]:
    """Why folders, or the ``only`` one of that name, hold a graph or a card and yet are no model, by name."""
    found = {}
    for path in sorted(repository.iterdir()):
        if path.name.startswith(".") or only not in ("", path.name):
            continue
        with suppress(OSError):  # nothing that may be read, or it went away meanwhile
            if reason := _misplaced(path):
                found[path.name] = printable(reason)
    return found


def _misplaced(path: Path) -> str:
    """Why the repository's entry is no model though it seems to be meant as one; empty where it is, or does not."""
    name, wanted = path.name, "<repository>/<name>/<version>/model.onnx"
    if not path.is_dir():
        return f"{name}: lies in the repository itself; {wanted} is wanted" if _of_a_package(path) else ""
    inside = _entries(path)
    if is_name(name) and any(_VERSION.fullmatch(entry.name) and entry.is_dir() for entry in inside):
        return ""
    lying = [entry.name for entry in inside if _of_a_package(entry)]
    holding = [entry.name for entry in inside if entry.is_dir() and any(map(_of_a_package, _entries(entry)))]
    if not is_name(name):
        named = "letters, digits, _ and -, the first a letter or digit, 64 at most"
        return f"{name[:80]!r} is no name of a model: {named}" if lying or holding else ""
    if lying:
        return f"{name}/{lying[0]}: lies in the model's folder itself; {wanted} is wanted, as {name}/1/model.onnx"
    if holding:
        return f"{name}/{holding[0]}: is no version; versions are whole numbers from 1, as {name}/1/model.onnx"
    return ""


def _entries(folder: Path) -> list[Path]:
    """The first entries of a folder, which may be one of data, with millions."""
    return sorted(islice(folder.iterdir(), _MOST_ENTRIES))


def printable(text: str) -> str:
    """The text with what is no Unicode in it, as names of files may have, as escapes."""
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
        except OSError:  # it went away meanwhile, or is a link to nowhere: its name alone tells a change
            found.append((path.name, -1, 0, 0))
        else:
            found.append((path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return frozenset(found)
