"""A data folder as it may be for everything that chooses: without the files of the test split."""

from pathlib import Path
from shutil import copytree

from tests.training.tiny import Tiny


def without_test_split(tiny: Tiny, folder: Path) -> Path:
    """The tiny set copied into ``folder``, all but its test files."""
    copytree(tiny.folder, folder)
    test = list((folder / "mnist").glob("t10k-*"))
    assert test
    for path in test:
        path.unlink()
    return folder
