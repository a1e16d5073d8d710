"""Images by class in a tar archive, ``<split>/<class>/<number>.jpg``."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from service.errors import LectoriumError
from service.imaging import decode
from training.data.split import Split
from training.errors import DataError

MAX_PIXELS = 1 << 20


def parse_images(content: bytes, labels: Sequence[str], name: str) -> Split:
    """The colour images in the archive ``content``, by their file names, whose folder is their class.

    Raises:
        DataError: naming ``name`` and the member: a folder that is no class, no image, or one of another size.
    """
    rows: list[tuple[str, int, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]] = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            if not member.isfile():
                continue
            path = PurePosixPath(member.name)
            if path.parent.name not in labels:
                raise DataError(f"{name}: {member.name} is in no folder of a class")
            file = archive.extractfile(member)
            assert file is not None
            try:
                image = decode(file.read(), MAX_PIXELS)
            except LectoriumError as error:
                raise DataError(f"{name}: {member.name}: {error}") from error
            rows.append((path.name, labels.index(path.parent.name), np.asarray(image.convert("RGB"))))
    if not rows or len({image.shape for _, _, image in rows}) != 1:
        raise DataError(f"{name}: {len(rows)} images of {len({i.shape for _, _, i in rows})} sizes, one size is wanted")
    rows.sort(key=lambda row: (row[0], row[1]))
    return Split(np.stack([image for _, _, image in rows]), np.array([label for _, label, _ in rows], np.uint8))
