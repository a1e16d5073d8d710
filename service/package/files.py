"""The files of a package: regular ones inside its folder, whatever links lead to them there, and nothing else.

A link may lead from one place of the folder to another, as those of a mounted Kubernetes ConfigMap do.
"""

import hashlib
import os
import stat
from pathlib import Path

from service.errors import InvalidPackage

# Entries of a package's folder, those of its subfolders among them.
MAX_ENTRIES = 10_000
# A file of labels or of a vocabulary.
MAX_TEXT_BYTES = 8 << 20

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFDIR: "a folder",
}


def check_folder(folder: Path) -> None:
    """See that everything in a package's folder is a regular file or a folder, and that no link leads out of it.

    ONNX Runtime opens what a graph names as its external data: to open a FIFO would block it for ever.

    Raises:
        InvalidPackage: something else is there, or too many entries are.
    """
    entries = 0
    for parent, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        if entries > MAX_ENTRIES:
            raise InvalidPackage(f"{folder}: over {MAX_ENTRIES} entries; a package has at most so many")
        for path in (Path(parent, name) for name in (*folders, *files)):
            if not _inside(folder, path):
                raise InvalidPackage(f"{path}: a link that leads out of the package's folder, which none may")
            _check_kind(path, stat.S_IFREG, stat.S_IFDIR)


def is_file(path: Path) -> bool:
    """Whether a regular file is there, or a link to one inside the folder.

    Raises:
        InvalidPackage: something else is there: a FIFO, a socket, a device, a folder, or a link that leads elsewhere.
    """
    if not path.exists():
        return False
    if not _inside(path.parent, path):
        raise InvalidPackage(f"{path}: a link that leads out of the package's folder, which none may")
    _check_kind(path, stat.S_IFREG)
    return True


def read(path: Path, most: int) -> bytes:
    """The content of a regular file of at most so many bytes.

    Raises:
        InvalidPackage: it is missing, larger, or no regular file of the folder.
    """
    if not is_file(path):
        raise InvalidPackage(f"{path}: no such file")
    with open(_descriptor(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise InvalidPackage(f"{path}: {max(size, len(content))} bytes; it may have at most {most}")
    return content


def sha256(path: Path) -> str:
    """The file's sha256, in hex.

    Raises:
        InvalidPackage: it is no regular file.
    """
    with open(_descriptor(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inside(folder: Path, path: Path) -> bool:
    # Not by `Path.resolve`, which fails where links lead in a circle.
    return not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _descriptor(path: Path) -> int:
    """Of the file, open: what is put in its place after it was checked, a FIFO say, does not block the opening."""
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
    except FileNotFoundError:  # a link to nowhere, which whoever reads it will miss; or it went away meanwhile
        return
    _refuse_other_kinds(path, found, *allowed)


def _refuse_other_kinds(path: Path, found: os.stat_result, *allowed: int) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind not in allowed:
        raise InvalidPackage(f"{path}: {_KINDS.get(kind, 'no regular file')}; a package holds regular files only")
