"""What lies in a repository's folder: the versions of each model, and whether their files have changed."""

import re
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from service.errors import InvalidPackage
from service.package import Name

_VERSION = re.compile("[1-9][0-9]{0,8}")
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
