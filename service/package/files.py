"""The files of a package: only regular files inside its folder, also through links.

A link may lead from one place in the folder to another, as in a mounted Kubernetes ConfigMap.
"""

import hashlib
import os
import stat
from pathlib import Path

from service.errors import InvalidPackage

# The entries of a package's folder, including those of its subfolders.
MAX_ENTRIES = 10_000
# The size of a file of labels or of a vocabulary.
MAX_TEXT_BYTES = 8 << 20

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFDIR: "a folder",
}


def check_folder(folder: Path) -> None:
    """Check that everything in a package's folder is a regular file or a folder, and that no link leads out of it.

    ONNX Runtime opens the files that a graph names as its external data: opening a FIFO would block it for ever.

    Raises:
        InvalidPackage: there is anything else, or there are too many entries.
    """
    entries = 0
    for parent, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        if entries > MAX_ENTRIES:
            raise InvalidPackage(f"{folder} has over {MAX_ENTRIES} entries, the most allowed in a package")
        for path in (Path(parent, name) for name in (*folders, *files)):
            if not _inside(folder, path):
                raise InvalidPackage(f"{path} is a link out of the package's folder, which is not allowed")
            _check_kind(path, stat.S_IFREG, stat.S_IFDIR)


def is_file(path: Path) -> bool:
    """Whether ``path`` is a regular file, or a link to one inside the folder.

    Raises:
        InvalidPackage: it is anything else: a FIFO, a socket, a device, a folder, or a link that leads elsewhere.
    """
    if not path.exists():
        return False
    if not _inside(path.parent, path):
        raise InvalidPackage(f"{path} is a link out of the package's folder, which is not allowed")
    _check_kind(path, stat.S_IFREG)
    return True


def read(path: Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises:
        InvalidPackage: it is missing, larger, or not a regular file of the folder.
    """
    if not is_file(path):
        raise InvalidPackage(f"{path}: no such file")
    with open(_descriptor(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise InvalidPackage(f"{path} has {max(size, len(content))} bytes; at most {most} are allowed")
    return content


def sha256(path: Path) -> str:
    """The file's sha256, in hex.

    Raises:
        InvalidPackage: it is not a regular file.
    """
    with open(_descriptor(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inside(folder: Path, path: Path) -> bool:
    # `Path.resolve` would fail on links that form a circle.
    return not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _descriptor(path: Path) -> int:
    """A descriptor of the opened file; if it was replaced after its check, by a FIFO say, opening does not block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_other_kinds(path, os.fstat(descriptor), stat.S_IFREG)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_kind(path: Path, *allowed: int) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:  # a link to nowhere, which reading reports as missing; or it was removed meanwhile
        return
    _refuse_other_kinds(path, found, *allowed)


def _refuse_other_kinds(path: Path, found: os.stat_result, *allowed: int) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind not in allowed:
        raise InvalidPackage(
            f"{path} is {_KINDS.get(kind, 'not a regular file')}; a package may have only regular files"
        )
