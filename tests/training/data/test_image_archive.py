import io
import tarfile
from collections.abc import Callable

import numpy as np
import pytest

from tests.training.tiny import archive, coloured, encoded
from training.data import Split, image_archive
from training.data.image_archive import parse_images, parse_named_images
from training.errors import DataError

CLASSES = tuple("0123456789")


none = (coloured()[0][:0], coloured()[1][:0])


def whole(rows: slice = slice(30)) -> bytes:
    images, labels = coloured()
    return archive(images[rows], labels[rows], CLASSES, "train")


def with_member(name: str, content: bytes = b"", change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> bytes:
    """An archive of three images, and then this."""
    buffer = io.BytesIO(whole(slice(3)))
    member = tarfile.TarInfo(name)
    member.size = len(content)
    change(member)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def parse(content: bytes) -> Split:
    return parse_images(content, CLASSES, "train.tar")


def test_images_come_in_the_order_of_their_numbers_with_the_label_of_their_folder() -> None:
    images, labels = coloured()
    found = parse(whole())
    assert (found.images == images[:30]).all()
    assert found.labels.tolist() == labels[:30].tolist()
    assert found.labels.dtype == np.int64


def test_folders_in_the_archive_are_passed_over() -> None:
    def folder(member: tarfile.TarInfo) -> None:
        member.type = tarfile.DIRTYPE

    assert len(parse(with_member("train/4", change=folder))) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            with_member("train/cats/1.png", encoded(coloured()[0][0])),
            "train/cats/1.png is not in the folder of a class",
        ),
        (with_member("train/4/1.png", b"no image"), "train.tar: train/4/1.png: the 8 bytes are not an image"),
        (
            with_member("train/4/1.png", encoded(coloured()[0][0][1:])),
            "4 images of 2 sizes; all must have the same size",
        ),
        (b"", "not a complete tar archive"),
        (b"no archive at all" * 100, "not a complete tar archive"),
        (archive(*none, CLASSES, "train"), "0 images of 0 sizes"),
    ],
    ids=["class", "image", "size", "empty", "other", "none"],
)
def test_an_archive_of_something_else_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(content)


def test_an_archive_cut_inside_a_member_is_refused() -> None:
    with pytest.raises(DataError, match=r"train\.tar: "):
        parse(whole()[:700])


def test_a_sparse_member_that_claims_gigabytes_is_refused_before_it_is_read() -> None:
    def sparse(member: tarfile.TarInfo) -> None:
        member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,0"}

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("train/4/1.png")
        sparse(member)
        tar.addfile(member, io.BytesIO())
    with pytest.raises(DataError, match=f"train/4/1.png has {1 << 40} bytes; at most {1 << 24}"):
        parse(buffer.getvalue())


def test_more_members_than_any_set_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_archive, "MAX_MEMBERS", 29)
    with pytest.raises(DataError, match="more than 29 members"):
        parse(whole())
    assert len(parse(whole(slice(29)))) == 29


def test_images_by_name_come_in_the_order_that_was_asked_for_and_others_are_not_read() -> None:
    images, _ = coloured()
    content = with_member("train/4/broken.png", b"no image")
    found = parse_named_images(content, ("00002.png", "00000.png"), "train.tar")
    assert (found == images[[2, 0]]).all()
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("content", "wanted", "message"),
    [
        (whole(), ("00000.png", "x.png", "y.png"), "2 of 3 images are missing, the first is x.png"),
        (with_member("test/9/00001.png", encoded(coloured()[0][1])), ("00001.png",), "00001.png is there twice"),
        (with_member("b.png", b"no image"), ("b.png",), "train.tar: b.png: the 8 bytes are not an image"),
        (with_member("b.png", encoded(coloured()[0][0][1:])), ("00001.png", "b.png"), "2 images of 2 sizes"),
        (whole(), (), "0 images of 0 sizes"),
        (b"no archive at all" * 100, ("a.png",), "not a complete tar archive"),
    ],
    ids=["missing", "twice", "image", "size", "none", "other"],
)
def test_an_archive_without_the_images_by_name_is_refused(
    content: bytes, wanted: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        parse_named_images(content, wanted, "train.tar")
