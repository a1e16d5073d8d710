"""A user's folder of images by class, as a data set."""

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from service.errors import LectoriumError
from service.imaging import decode, prepare
from service.package import Preprocessing
from training.data.class_folders import ImageFile, list_classes
from training.data.contents import Contents, choose_test, describe_repeats
from training.data.preparation import each, room
from training.data.source import Shape, preprocessing
from training.data.split import Bytes, Split
from training.data.statistics import Measured
from training.errors import DataError

MAX_PIXELS = 50_000_000  # of one image, the service's default limit
NAMED = 5  # how many unreadable files an error names


@dataclass(frozen=True)
class _Files:
    training: Contents
    validation: Contents
    test: Contents


class FolderSource(Measured):
    """The images below ``path``, as `list_classes` finds them, as a `Source` for networks of input ``shape``.

    Images of another aspect ratio are cropped to their centre. If the folder has no test split, `choose_test` makes
    one. ``files`` has one entry, a sha256 over the path and the sha256 of every file.

    Raises:
        DataError: as `list_classes`; when read, also for files that are not images, naming the first few.
    """

    def __init__(self, path: Path, shape: Shape) -> None:
        self._folders = list_classes(path)
        self._path = path
        self.title = path.resolve().name or "images"
        self.name = re.sub(r"[^A-Za-z0-9_-]+", "-", self.title).strip("-_")[:64] or "images"
        self.licence, self.homepage = "the user's own", "a folder of images by class"
        self.labels, self.shape = self._folders.labels, shape
        self._preprocessing = self.preprocessing("image")

    def preprocessing(self, tensor: str) -> Preprocessing:
        """Crops to the centre of the image, at the network's input size."""
        return preprocessing(self.shape, tensor, "crop")

    def read_training(self) -> Split:
        """Everything but the validation and the test split; the test files are only checked to be images."""
        # A bad test file is reported now, not after hours of training.
        return self._read(self._files.training, self._unreadable(self._files.test, None))

    def validation(self) -> Split | None:
        """The folder's own validation split, if it has one."""
        return self._read(self._files.validation) if self._files.validation else None

    def test(self) -> Split:
        """The folder's own test split, or the one that `choose_test` made."""
        return self._read(self._files.test)

    @cached_property
    def files(self) -> Mapping[str, str]:
        """One sha256 over all files: adding, changing, moving or removing a file changes it."""
        everything = self._files.training + self._files.validation + self._files.test
        lines = sorted(f"{file.name}\0{content}\n" for file, content in everything)
        return {"images": hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()}

    @cached_property
    def _files(self) -> _Files:
        folders = self._folders
        hashes = [*each(_content, folders.files, f"{self.title}: reading")]
        content = dict(zip(folders.files, hashes, strict=True))
        training, validation, test = (
            tuple((file, content[file]) for file in files)
            for files in (folders.training, folders.validation, folders.test or ())
        )
        if folders.test is None:
            training, test = choose_test(training, self.labels)
        for warning in describe_repeats(training, validation, test):
            print(f"{self.title}: {warning}", file=sys.stderr)
        return _Files(training, validation, test)

    def _read(self, files: Contents, bad: Sequence[str] = ()) -> Split:
        images = room(len(files), self._preprocessing, self.title)
        bad = [*bad, *self._unreadable(files, images)]
        if bad:
            more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            raise DataError(f"{self._path}: {len(bad)} files are not images: {'; '.join(bad[:NAMED])}{more}")
        return Split(images, np.array([file.label for file, _ in files], np.int64))

    def _unreadable(self, files: Contents, images: Bytes | None) -> list[str]:
        """Decode ``files``, into ``images`` if given; return the problems of those that cannot be decoded."""
        work = partial(self._prepare, files, images)
        return [problem for problem in each(work, range(len(files)), f"{self.title}: decoding") if problem]

    def _prepare(self, files: Contents, images: Bytes | None, row: int) -> str:
        file, content = files[row]
        try:
            data = file.path.read_bytes()
            if hashlib.sha256(data).hexdigest() != content:
                return f"{file.name} (it has changed since it was listed)"
            image = prepare(decode(data, MAX_PIXELS, self._preprocessing), self._preprocessing)
        except (LectoriumError, OSError) as error:
            return f"{file.name} ({error})"
        if images is not None:
            images[row] = image
        return ""


def _content(file: ImageFile) -> str:
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file.path} cannot be read ({error})") from error
