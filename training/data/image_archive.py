"""Images in a tar archive: by class, by name, or with a mask beside each.

Their paths are ``<split>/<class>/<number>.jpg``, ``<folder>/<name>.jpg``, or ``<images>/<name>.jpg`` and
``<masks>/<name>.png``.
"""

import io
import tarfile
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from service.errors import LectoriumError
from service.imaging import decode
from training.data.masks import MaskSplit
from training.data.split import Bytes, Split
from training.errors import DataError

MAX_PIXELS = 1 << 20
MAX_MEMBER = 1 << 24  # bytes of one file; a sparse one could claim any size
MAX_MEMBERS = 1 << 20
MASK_MODES = ("1", "L", "P")  # Pillow's modes of one whole number of at most 8 bits a pixel


def parse_images(content: bytes, labels: Sequence[str], name: str) -> Split:
    """The colour images in the archive ``content``, sorted by file name; an image's folder is its class.

    Raises:
        DataError: the content is not an archive, a folder is not a class, a file is not an image, sizes differ, or
            there are too many or too large files; the message has ``name`` and the member.
    """
    with _opened(content, name) as archive:
        rows = [_row(path, file, labels, name) for path, file in _files(archive, name)]
    if len(sizes := {image.shape for _, _, image in rows}) != 1:
        raise DataError(f"{name}: {len(rows)} images of {len(sizes)} sizes; all must have the same size")
    rows.sort(key=lambda row: row[:2])
    return Split(np.stack([image for _, _, image in rows]), np.array([label for _, label, _ in rows], np.int64))


def parse_named_images(content: bytes, wanted: Sequence[str], name: str) -> Bytes:
    """The colour images (N, H, W, 3) in the archive ``content`` whose file names are ``wanted``, in that order.

    Other files are skipped without reading them.

    Raises:
        DataError: the content is not an archive, one of ``wanted`` is missing or there twice, a file is not an image,
            sizes differ, or there are too many or too large files; the message has ``name`` and the member.
    """
    images: dict[str, Bytes] = {}
    with _opened(content, name) as archive:
        for path, file in _files(archive, name, frozenset(wanted)):
            if path.name in images:
                raise DataError(f"{name}: {path.name} is there twice")
            images[path.name] = _pixels(path, file, name)
    if missing := [file for file in wanted if file not in images]:
        raise DataError(f"{name}: {len(missing)} of {len(wanted)} images are missing, the first is {missing[0]}")
    if len(sizes := {image.shape for image in images.values()}) != 1:
        raise DataError(f"{name}: {len(images)} images of {len(sizes)} sizes; all must have the same size")
    return np.stack([images[file] for file in wanted])


def parse_masked_images(content: bytes, images: str, masks: str, name: str) -> tuple[tuple[str, ...], MaskSplit]:
    """The colour images in the folder ``images`` of the archive ``content``, and the masks in its folder ``masks``.

    A mask belongs to the image of the same name, whatever their suffixes; both are in the order of these names, which
    are the first result. A mask's values are as in its file: grey levels, indices into its palette, or 0 and 1. Other
    folders are skipped without reading them.

    Raises:
        DataError: the content is not an archive, a folder is empty, an image has no mask or the reverse, a name is
            there twice, a file is not an image, sizes differ, or there are too many or too large files; the message has
            ``name`` and the member.
    """
    found: dict[str, dict[str, Bytes]] = {images: {}, masks: {}}
    with _opened(content, name) as archive:
        for path, file in _files(archive, name, folders=frozenset(found)):
            pixels = _pixels(path, file, name) if path.parent.name == images else _mask(path, file, name)
            if path.stem in found[path.parent.name]:
                raise DataError(f"{name}: {path.parent.name}/{path.stem} is there twice")
            found[path.parent.name][path.stem] = pixels
    names = tuple(sorted(found[images]))
    if not names or names != tuple(sorted(found[masks])):
        alone = sorted(found[images].keys() ^ found[masks].keys())
        raise DataError(
            f"{name}: {images}/ has {len(names)} images and {masks}/ {len(found[masks])} masks; each image needs one"
            + (f", as {alone[0]} does" if alone else "")
        )
    if len(sizes := {pixels.shape[:2] for folder in found.values() for pixels in folder.values()}) != 1:
        raise DataError(f"{name}: images and masks of {len(sizes)} sizes; all must have the same size")
    pictures, classes = (np.stack([folder[each] for each in names]) for folder in found.values())
    return names, MaskSplit(pictures, classes)


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            yield archive
    except tarfile.TarError as error:
        raise DataError(f"{name}: not a complete tar archive ({error})") from error


def _files(
    archive: tarfile.TarFile, name: str, wanted: Container[str] | None = None, folders: Container[str] | None = None
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Path and content of the files, or of those whose name is in ``wanted`` or whose folder is in ``folders``."""
    for count, member in enumerate(archive):
        if count >= MAX_MEMBERS:
            raise DataError(f"{name}: has more than {MAX_MEMBERS} members, the most allowed")
        path = PurePosixPath(member.name)
        if not member.isfile() or (wanted is not None and path.name not in wanted):
            continue
        if folders is not None and path.parent.name not in folders:
            continue
        if member.size > MAX_MEMBER:
            raise DataError(f"{name}: {member.name} has {member.size} bytes; at most {MAX_MEMBER} are allowed")
        file = archive.extractfile(member)
        assert file is not None
        yield path, file.read()


def _row(path: PurePosixPath, file: bytes, labels: Sequence[str], name: str) -> tuple[str, int, Bytes]:
    """File name, class and pixels (H, W, 3)."""
    if path.parent.name not in labels:
        raise DataError(f"{name}: {path} is not in the folder of a class")
    return path.name, labels.index(path.parent.name), _pixels(path, file, name)


def _pixels(path: PurePosixPath, file: bytes, name: str) -> Bytes:
    """The pixels of the image ``file``, (H, W, 3)."""
    return np.asarray(_image(path, file, name).convert("RGB"))


def _mask(path: PurePosixPath, file: bytes, name: str) -> Bytes:
    """The values of the mask ``file``, (H, W)."""
    image = _image(path, file, name)
    if image.mode not in MASK_MODES:
        raise DataError(f"{name}: {path} has pixels of mode {image.mode}; a mask has one of {', '.join(MASK_MODES)}")
    return np.asarray(image).astype(np.uint8)


def _image(path: PurePosixPath, file: bytes, name: str) -> Image.Image:
    try:
        return decode(file, MAX_PIXELS)
    except LectoriumError as error:
        raise DataError(f"{name}: {path}: {error}") from error
