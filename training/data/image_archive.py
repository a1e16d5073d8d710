"""Images by class in a tar archive, ``<split>/<class>/<number>.jpg``."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np

from service.errors import LectoriumError
from service.imaging import decode
from training.data.split import Bytes, Split
from training.errors import DataError

MAX_PIXELS = 1 << 20
MAX_MEMBER = 1 << 24  # bytes of one file; a sparse one could claim any size
MAX_MEMBERS = 1 << 20


def parse_images(content: bytes, labels: Sequence[str], name: str) -> Split:
    """The colour images in the archive ``content``, by their file names, whose folder is their class.

    Raises:
        DataError: naming ``name`` and the member: no archive, a folder that is no class, no image, one of another
            size than the rest, or more or larger files than are read.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            rows = [_row(path, file, labels, name) for path, file in _files(archive, name)]
    except tarfile.TarError as error:
        raise DataError(f"{name}: not a whole tar archive ({error})") from error
    if len(sizes := {image.shape for _, _, image in rows}) != 1:
        raise DataError(f"{name}: {len(rows)} images of {len(sizes)} sizes, one size is wanted")
    rows.sort(key=lambda row: row[:2])
    return Split(np.stack([image for _, _, image in rows]), np.array([label for _, label, _ in rows], np.int64))


def _files(archive: tarfile.TarFile, name: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    for count, member in enumerate(archive):
        if count >= MAX_MEMBERS:
            raise DataError(f"{name}: more than {MAX_MEMBERS} members")
        if not member.isfile():
            continue
        if member.size > MAX_MEMBER:
            raise DataError(f"{name}: {member.name} has {member.size} bytes, at most {MAX_MEMBER} are read")
        file = archive.extractfile(member)
        assert file is not None
        yield PurePosixPath(member.name), file.read()


def _row(path: PurePosixPath, file: bytes, labels: Sequence[str], name: str) -> tuple[str, int, Bytes]:
    """File name, class and pixels (H, W, 3)."""
    if path.parent.name not in labels:
        raise DataError(f"{name}: {path} is in no folder of a class")
    try:
        image = decode(file, MAX_PIXELS)
    except LectoriumError as error:
        raise DataError(f"{name}: {path}: {error}") from error
    return path.name, labels.index(path.parent.name), np.asarray(image.convert("RGB"))
