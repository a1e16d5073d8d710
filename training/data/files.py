"""The files of a data set: downloaded if they are missing, and always verified.

They are in ``<data>/<data set>/``, where ``<data>`` is the folder LECTORIUM_DATA, or ``./data``. A missing file is
downloaded. The content of every file must have the published checksum.
"""

import gzip
import hashlib
import io
import lzma
import os
import sys
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.errors import DataError

DEFAULT_FOLDER = Path("data")
READ_ONLY = "set LECTORIUM_DATA to a folder that is writable or has the file"
OPEN: Mapping[str, type[gzip.GzipFile] | type[lzma.LZMAFile] | type[io.FileIO]] = {
    ".gz": gzip.GzipFile,
    ".xz": lzma.LZMAFile,
    "": io.FileIO,  # not compressed
}
MAX_CONTENT = 1 << 30  # bytes, ten times the largest data set here; a small file may unpack to any size


@dataclass(frozen=True)
class Published:
    """A published file, compressed as its ``suffix`` says; an empty suffix means not compressed.

    ``sha256`` is the checksum of its decompressed content, and ``contents`` describes that content.
    """

    dataset: str
    title: str
    mirrors: tuple[str, ...]
    name: str
    suffix: str
    contents: str
    sha256: str


def read_file(file: Published, folder: Path | None) -> bytes:
    """The decompressed, verified content of ``file``, which is first downloaded into ``folder`` if it is missing.

    Raises:
        DataError: no host has it, or its content has another checksum; a bad download leaves nothing behind.
    """
    path = (folder or DEFAULT_FOLDER) / file.dataset / (file.name + file.suffix)
    if not path.is_file():
        if not file.mirrors:
            compressed = f", compressed as {file.suffix}" if file.suffix else ""
            raise DataError(
                f"{path} is missing and {file.title} has no public host: put it there, {file.contents} with sha256"
                f" {file.sha256}{compressed}; or set LECTORIUM_DATA to the folder that holds {file.dataset}/"
            )
        _download(file, path)
    return _verified(path, file, str(path))


def _download(file: Published, path: Path) -> None:
    """Fetch into a temporary folder beside ``path``; only a verified file is moved to ``path``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as temporary:
            fetched = _fetch(file, Path(temporary) / path.name)
            _verified(Path(temporary) / path.name, file, fetched)
            os.replace(Path(temporary) / path.name, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); {READ_ONLY}") from error


def _fetch(file: Published, path: Path) -> str:
    """Download the file from the first host that answers; return its address."""
    import pooch
    import requests

    name = file.name + file.suffix
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


def _verified(path: Path, file: Published, name: str) -> bytes:
    try:
        with OPEN[file.suffix](path) as stream:
            content = stream.read(MAX_CONTENT + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{name}: not a complete {file.suffix or path.suffix} file ({error})") from error
    if len(content) > MAX_CONTENT:
        raise DataError(f"{name}: has more than {MAX_CONTENT} bytes of content, the most allowed")
    if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise DataError(f"{name}: the content has sha256 {found}; expected {file.sha256}")
    return content
