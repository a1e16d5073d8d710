import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.hosts import NOBODY
from tests.training.tiny import TRAINING, Tiny, coloured, digits, idx
from training.data.published import TEST, TRAIN, PublishedSource
from training.errors import DataError


def holding(source: PublishedSource, folder: Path, name: str, content: bytes) -> PublishedSource:
    """The source, with another content published under ``name``, in a folder of its own beside the rest."""
    path = folder / source.name
    path.mkdir(parents=True)
    assert source.folder is not None
    for file in source.files:
        path.joinpath(f"{file}.gz").symlink_to(source.folder / source.name / f"{file}.gz")
    path.joinpath(f"{name}.gz").unlink()
    path.joinpath(f"{name}.gz").write_bytes(gzip.compress(content))
    return replace(source, folder=folder, files={**source.files, name: hashlib.sha256(content).hexdigest()})


def test_a_folder_at_hand_is_read_without_a_download(tiny: Tiny) -> None:
    images, labels = digits()
    source = replace(tiny.source, mirrors=(NOBODY,))
    for split, rows in ((source.training(), slice(TRAINING)), (source.test(), slice(TRAINING, None))):
        assert (split.images == images[rows]).all()
        assert (split.labels == labels[rows]).all()
        assert split.labels.dtype == np.int64


def test_the_colour_archive_is_read_in_the_order_of_its_numbers(tiny_colour: Tiny) -> None:
    images, labels = coloured()
    test = tiny_colour.source.test()
    assert test.images.shape == (300 - TRAINING, 32, 32, 3)
    assert (test.images[:, 2:-2, 2:-2] == images[TRAINING:]).all()
    assert (test.labels == labels[TRAINING:]).all()


def test_no_published_set_holds_out_a_validation_split(tiny: Tiny) -> None:
    assert tiny.source.validation() is None


def test_grey_digits_get_a_black_border_and_photographs_lose_theirs(tiny: Tiny, tiny_colour: Tiny) -> None:
    grey, colour = tiny.source.preprocessing("image"), tiny_colour.source.preprocessing("pixels")
    assert (grey.tensor, grey.colour, grey.height, grey.width, grey.fit, grey.background) == (
        *("image", "grey", 28, 28, "pad"),
        0,
    )
    assert (colour.tensor, colour.colour, colour.height, colour.width, colour.fit) == ("pixels", "rgb", 32, 32, "crop")


def test_images_without_their_labels_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    source = holding(tiny.source, tmp_path, TEST[1], tiny.files[TRAIN[1]])
    with pytest.raises(DataError, match=r"\(80, 28, 28\) .*\(220,\): not images and their labels"):
        source.test()


def test_a_label_outside_the_classes_is_refused(tiny: Tiny) -> None:
    source = replace(tiny.source, labels=tuple("01234567"))
    with pytest.raises(DataError, match="label 9; MNIST has 8 classes"):
        source.test()


def test_images_of_another_size_than_stated_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    source = holding(tiny.source, tmp_path, TEST[0], idx(digits()[0][TRAINING:, 2:]))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte: its images are \(26, 28\); MNIST has \(28, 28\)"):
        source.test()
