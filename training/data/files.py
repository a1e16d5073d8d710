"""The files of a data set: taken where they lie, downloaded where they don't, and never believed unseen.

They lie in ``<data>/<data set>/``, where ``<data>`` is what LECTORIUM_DATA names, or ``./data``. A file that is already
there is taken as it is; one that is not is downloaded. Either way its content must have the published checksum.
"""

import gzip
import hashlib
import lzma
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.errors import DataError

DEFAULT_FOLDER = Path("data")
READ_ONLY = "set LECTORIUM_DATA to a folder that can be written to, or that has the file"
DECOMPRESS: Mapping[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress}


@dataclass(frozen=True)
class Published:
    """A compressed file as its hosts publish it; ``sha256`` is that of its decompressed content."""

    dataset: str
    title: str
    mirrors: tuple[str, ...]
    name: str
    suffix: str
    sha256: str


def read_file(file: Published, folder: Path | None) -> bytes:
    """The decompressed, verified content of ``file``, downloaded into ``folder`` first where it is not there.

    Raises:
        DataError: no host has it, or its content has another checksum; a bad download leaves nothing behind.
    """
    path = (folder or DEFAULT_FOLDER) / file.dataset / (file.name + file.suffix)
    if not path.is_file():
        _download(file, path)
    return _verified(path, file.sha256, str(path))


def _download(file: Published, path: Path) -> None:
    """Fetch into a temporary folder beside ``path``; only a file of the right content moves to its place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as temporary:
            fetched = _fetch(file, Path(temporary) / path.name)
            _verified(Path(temporary) / path.name, file.sha256, fetched)
            os.replace(Path(temporary) / path.name, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); {READ_ONLY}") from error


def _fetch(file: Published, path: Path) -> str:
    """Download the file from the first host that answers; return its address."""
    import pooch
    import requests

    name = file.name + file.suffix
    if not file.mirrors:
        raise DataError(f"{path.name}: {file.title} has no public host; put the file where LECTORIUM_DATA says")
    failures = []
    for mirror in file.mirrors:
        print(f"{file.title}: {mirror}{name}", file=sys.stderr)
        try:
            pooch.HTTPDownloader(progressbar=True)(mirror + name, path, None)
        except requests.RequestException as error:
            failures.append(f"{mirror + name}: {error}")
        else:
            return mirror + name
    raise DataError(f"{name} could not be downloaded. " + "; ".join(failures))


def _verified(path: Path, wanted: str, name: str) -> bytes:
    try:
        content = DECOMPRESS[path.suffix](path.read_bytes())
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{name}: not a whole {path.suffix} file ({error})") from error
    if (found := hashlib.sha256(content).hexdigest()) != wanted:
        raise DataError(f"{name}: the content has sha256 {found}, wanted {wanted}")
    return content
