"""A folder of images by class: which files there are, of which class, and in which split.

``<class>/`` with files at any depth, or ``train/<class>/`` and ``test/<class>/``, where ``val/`` (or
``validation/``) may stand beside them, or in the place of ``test/``. Hidden files and folders are passed over.
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
    """The files of each split; ``test`` is None where the folder has no splits, and ``training`` then holds all."""

    labels: tuple[str, ...]
    training: tuple[ImageFile, ...]
    validation: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...] | None

    @property
    def files(self) -> tuple[ImageFile, ...]:
        """All there are."""
        return self.training + self.validation + (self.test or ())


def list_classes(root: Path) -> ClassFolders:
    """The classes, in the order of their names, and the files of ``root``, in the order of their paths.

    Raises:
        DataError: fewer than two classes or more than `MAX_CLASSES`, a class without a file in the training or test
            split, more or larger files than are read, a link that leads out, or a folder that may not be read.
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
    """The folder of each split, by ``train``, ``test`` and ``validation``; empty where ``root`` has no splits."""
    folders = {path.name: path for path in _folders(root)}
    held_out = next((folders[name] for name in VALIDATION if name in folders), None)
    test = folders.get(TEST, held_out)
    if TRAIN not in folders or test is None:
        return {}
    splits = {TRAIN: folders[TRAIN], TEST: test}
    if held_out and held_out != test:
        splits["validation"] = held_out
    if strange := sorted(set(folders.values()) - set(splits.values())):
        raise DataError(f"{root}: {TRAIN}/ and {test.name}/ are splits, and then {strange[0].name}/ is none")
    return splits


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _class_names(root: Path, parents: list[Path]) -> tuple[str, ...]:
    labels = tuple(sorted({path.name for parent in parents for path in _folders(parent)}))
    if not 2 <= len(labels) <= MAX_CLASSES:
        raise DataError(
            f"{root}: {len(labels)} folders of a class, 2 to {MAX_CLASSES} are wanted: {root.name}/<class>/"
        )
    for label in labels:
        if not label.isprintable() or label != label.strip():
            raise DataError(f"{root}: {label!r} is no name of a class: printable characters, no space at either end")
    return labels


def _listed(root: Path, parent: Path, labels: tuple[str, ...], *, complete: bool = True) -> tuple[ImageFile, ...]:
    """The files below ``parent``; every class must have one where the list has to be ``complete``."""
    found: list[ImageFile] = []
    if parent != root:
        _refuse_links_out(root, parent)
    for label, name in enumerate(labels):
        before = len(found)
        for path in _walk(root, parent / name):
            found.append(ImageFile(path, path.relative_to(root).as_posix(), label))
            if len(found) > MAX_FILES:
                raise DataError(f"{root}: more than {MAX_FILES} files")
        if complete and len(found) == before:
            raise DataError(f"{parent / name}: no image of this class")
    return tuple(found)


def _walk(root: Path, folder: Path) -> Iterator[Path]:
    """The files at any depth below ``folder``, where there is one, in the order of their paths."""
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
    """Links to folders are refused wherever they lead: it may be above themselves."""
    if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root.resolve())):
        raise DataError(f"{path} is a link; links to folders, or out of {root}, are not followed")


def _refuse_other_than_files(path: Path) -> None:
    """A pipe or a device would never end."""
    if not path.is_file():
        raise DataError(f"{path} is no file")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise DataError(f"{path} has {size} bytes; files of at most {MAX_BYTES} are read")
