import os
import shutil
from pathlib import Path

import pytest

from tests.training.data.folders import make_splits, write
from training.data import class_folders
from training.data.class_folders import ClassFolders, ImageFile, list_classes
from training.errors import DataError


def names(files: tuple[ImageFile, ...] | None) -> list[str]:
    assert files is not None
    return [file.name for file in files]


def two_classes(root: Path) -> Path:
    for name in ("cat/2.png", "cat/1.png", "dog/1.png"):
        write(root / name)
    return root


def test_folders_are_classes_and_files_their_images_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = list_classes(two_classes(tmp_path))
    assert found.labels == ("cat", "dog")
    assert names(found.training) == ["cat/1.png", "cat/2.png", "dog/1.png"]
    assert [file.label for file in found.training] == [0, 0, 1]
    assert [file.path for file in found.training] == [tmp_path / file.name for file in found.training]
    assert (found.validation, found.test) == ((), None)


def test_files_at_any_depth_are_of_the_class_at_the_top(tmp_path: Path) -> None:
    write(two_classes(tmp_path) / "dog" / "hounds" / "small" / "9.png")
    assert names(list_classes(tmp_path).training)[2:] == ["dog/1.png", "dog/hounds/small/9.png"]


def test_hidden_files_and_folders_and_loose_files_are_passed_over(tmp_path: Path) -> None:
    two_classes(tmp_path)
    for name in (".git/1.png", "cat/.DS_Store", "cat/.cache/1.png", "README.txt"):
        write(tmp_path / name)
    assert len(list_classes(tmp_path).files) == 3


@pytest.mark.parametrize("held_out", ["val", "validation"])
def test_train_and_test_are_splits_and_val_beside_them_too(tmp_path: Path, held_out: str) -> None:
    found = list_classes(make_splits(tmp_path, train=3, test=2, **{held_out: 1}))
    assert found.labels == ("a", "b", "c")
    assert [len(names(files)) for files in (found.training, found.validation, found.test)] == [9, 3, 6]
    assert names(found.validation) == [f"{held_out}/{label}/0.png" for label in "abc"]


def test_val_without_a_test_is_the_test(tmp_path: Path) -> None:
    found = list_classes(make_splits(tmp_path, train=2, val=1))
    assert names(found.test) == ["val/a/0.png", "val/b/0.png", "val/c/0.png"]
    assert found.validation == ()


def test_train_alone_is_a_class_like_any_other(tmp_path: Path) -> None:
    write(tmp_path / "train" / "1.png")
    write(tmp_path / "ship" / "1.png")
    assert list_classes(tmp_path).labels == ("ship", "train")


def test_splits_beside_something_else_are_an_error_that_names_it(tmp_path: Path) -> None:
    write(make_splits(tmp_path, train=1, test=1) / "cars" / "1.png")
    with pytest.raises(DataError, match="cars/ is not a split, but train/ and test/ beside it are"):
        list_classes(tmp_path)


def test_a_class_need_not_be_in_the_validation_split(tmp_path: Path) -> None:
    shutil.rmtree(make_splits(tmp_path, train=1, val=1, test=1) / "val" / "b")
    assert names(list_classes(tmp_path).validation) == ["val/a/0.png", "val/c/0.png"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_that_a_split_lacks_is_an_error(tmp_path: Path, split: str) -> None:
    shutil.rmtree(make_splits(tmp_path, train=1, test=1) / split / "b")
    with pytest.raises(DataError, match=f"{split}/b has no image"):
        list_classes(tmp_path)


def test_an_empty_class_is_an_error(tmp_path: Path) -> None:
    (two_classes(tmp_path) / "bird" / "empty").mkdir(parents=True)
    with pytest.raises(DataError, match=f"{tmp_path}/bird has no image"):
        list_classes(tmp_path)


@pytest.mark.parametrize("classes", [0, 1])
def test_fewer_than_two_classes_are_an_error_that_says_how_a_folder_looks(tmp_path: Path, classes: int) -> None:
    write(tmp_path / "loose.png")
    if classes:
        write(tmp_path / "cat" / "1.png")
    with pytest.raises(DataError, match=f"{classes} class folders, {tmp_path.name}/<class>/"):
        list_classes(tmp_path)


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_CLASSES", 1, "has 2 class folders, .*; 2 to 1 are allowed"),
        ("MAX_FILES", 1, "more than 1 files"),
        ("MAX_BYTES", 60, r"cat/1\.png has \d+ bytes; at most 60 are allowed"),
    ],
)
def test_too_many_classes_files_or_bytes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    two_classes(tmp_path)
    monkeypatch.setattr(class_folders, limit, value)
    with pytest.raises(DataError, match=message):
        list_classes(tmp_path)


def test_a_link_to_a_file_of_the_folder_is_taken(tmp_path: Path) -> None:
    (two_classes(tmp_path) / "dog" / "2.png").symlink_to(tmp_path / "cat" / "2.png")
    assert "dog/2.png" in names(list_classes(tmp_path).training)


def leads_out(root: Path) -> None:
    (root / "dog" / "2.png").symlink_to(root.parent / "secret.png")


def leads_nowhere(root: Path) -> None:
    (root / "dog" / "2.png").symlink_to(root / "nothing")


def leads_to_itself(root: Path) -> None:
    (root / "dog" / "round").symlink_to(root)


def is_a_class(root: Path) -> None:
    (root / "wolf").symlink_to(root / "dog")


def is_a_split(root: Path) -> None:
    shutil.copytree(root, root / "train")
    (root / "test").symlink_to(root / "train")
    shutil.rmtree(root / "cat")
    shutil.rmtree(root / "dog")


def is_a_pipe(root: Path) -> None:
    os.mkfifo(root / "dog" / "2.png")


@pytest.mark.parametrize("change", [leads_out, leads_nowhere, leads_to_itself, is_a_class, is_a_split, is_a_pipe])
def test_links_out_links_to_folders_and_what_is_no_file_are_refused(tmp_path: Path, change: object) -> None:
    write(tmp_path / "secret.png")
    root = two_classes(tmp_path / "images")
    assert callable(change)
    change(root)
    with pytest.raises(DataError, match=r"(2\.png|round|wolf|test) is (a link|not a regular file)"):
        list_classes(root)


@pytest.mark.parametrize("name", ["two\nlines", " cat", "cat\u2028dog"])
def test_a_class_whose_name_no_list_of_labels_could_hold_is_refused(tmp_path: Path, name: str) -> None:
    write(two_classes(tmp_path) / name / "1.png")
    with pytest.raises(DataError, match="is no class name"):
        list_classes(tmp_path)


def test_a_folder_that_cannot_be_read_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="gone cannot be read"):
        list_classes(tmp_path / "gone")


def test_all_files_are_those_of_every_split(tmp_path: Path) -> None:
    found: ClassFolders = list_classes(make_splits(tmp_path, train=3, val=2, test=1))
    assert len(found.files) == len(set(found.files)) == 18
