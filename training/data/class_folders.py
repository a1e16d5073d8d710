"""A folder of images by class: lists its files, with the class and the split of each.

The layout is ``<class>/`` with files at any depth, or ``train/<class>/`` and ``test/<class>/``; ``val/`` (or
``validation/``) may be beside them or replace ``test/``. Hidden files and folders are ignored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.errors import DataError

TRAIN, TEST = "train", "test"
VALIDATION = ("val", "validation")
MAX_CLASSES = 10_000
MAX_FILES = 1 << 21
MAX_BYTES = 1 << 26  # of one file


@dataclass(frozen=True)
class ImageFile:
    """A file of the class ``label``; ``name`` is its path inside the folder, with slashes."""

    path: Path
    name: str
    label: int


@dataclass(frozen=True)
class ClassFolders:
    """The files of each split; if the folder has no splits, ``test`` is None and ``training`` holds all files."""

    labels: tuple[str, ...]
    training: tuple[ImageFile, ...]
    validation: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...] | None

    @property
    def files(self) -> tuple[ImageFile, ...]:
        """The files of all splits."""
        return self.training + self.validation + (self.test or ())


def list_classes(root: Path) -> ClassFolders:
    """The classes of ``root``, sorted by name, and its files, sorted by path.

    Raises:
        DataError: there are fewer than two classes or more than `MAX_CLASSES`, a class has no file in the training or
            test split, there are too many or too large files, a link leads out, or a folder cannot be read.
    """
    try:
        return _list(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read ({error})") from error


def _list(root: Path) -> ClassFolders:
    splits = _splits(root)
    if not splits:
        labels = _class_names(root, [root])
        return ClassFolders(labels, _listed(root, root, labels), (), None)
    labels = _class_names(root, list(splits.values()))
    held_out = splits.pop("validation", None)
    training, test = (_listed(root, splits[name], labels) for name in (TRAIN, TEST))
    return ClassFolders(labels, training, _listed(root, held_out, labels, complete=False) if held_out else (), test)


def _splits(root: Path) -> dict[str, Path]:
    """The folder of each split, by ``train``, ``test`` and ``validation``; empty if ``root`` has no splits."""
    folders = {path.name: path for path in _folders(root)}
    held_out = next((folders[name] for name in VALIDATION if name in folders), None)
    test = folders.get(TEST, held_out)
    if TRAIN not in folders or test is None:
        return {}
    splits = {TRAIN: folders[TRAIN], TEST: test}
    if held_out and held_out != test:
        splits["validation"] = held_out
    if strange := sorted(set(folders.values()) - set(splits.values())):
        raise DataError(f"{root}: {strange[0].name}/ is not a split, but {TRAIN}/ and {test.name}/ beside it are")
    return splits


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _class_names(root: Path, parents: list[Path]) -> tuple[str, ...]:
    labels = tuple(sorted({path.name for parent in parents for path in _folders(parent)}))
    if not 2 <= len(labels) <= MAX_CLASSES:
        raise DataError(f"{root} has {len(labels)} class folders, {root.name}/<class>/; 2 to {MAX_CLASSES} are allowed")
    for label in labels:
        if not label.isprintable() or label != label.strip():
            raise DataError(
                f"{root}: {label!r} is no class name; allowed are printable characters without spaces at either end"
            )
    return labels


def _listed(root: Path, parent: Path, labels: tuple[str, ...], *, complete: bool = True) -> tuple[ImageFile, ...]:
    """The files below ``parent``; if the list must be ``complete``, every class must have one."""
    found: list[ImageFile] = []
    if parent != root:
        _refuse_links_out(root, parent)
    for label, name in enumerate(labels):
        before = len(found)
        for path in _walk(root, parent / name):
            found.append(ImageFile(path, path.relative_to(root).as_posix(), label))
            if len(found) > MAX_FILES:
                raise DataError(f"{root} has more than {MAX_FILES} files, the most allowed")
        if complete and len(found) == before:
            raise DataError(f"{parent / name} has no image; each class needs one")
    return tuple(found)


def _walk(root: Path, folder: Path) -> Iterator[Path]:
    """The files at any depth below ``folder``, if it exists, sorted by path."""
    _refuse_links_out(root, folder)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(root, path)
        else:
            _refuse_links_out(root, path)
            _refuse_other_than_files(path)
            yield path


def _refuse_links_out(root: Path, path: Path) -> None:
    """Links to folders are refused wherever they lead: a link to a folder above it would never end."""
    if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root.resolve())):
        raise DataError(f"{path} is a link; links to folders, or out of {root}, are not followed")


def _refuse_other_than_files(path: Path) -> None:
    """Reading a pipe or a device might never end."""
    if not path.is_file():
        raise DataError(f"{path} is not a regular file")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise DataError(f"{path} has {size} bytes; at most {MAX_BYTES} are allowed")
