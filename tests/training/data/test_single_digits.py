from dataclasses import replace

import numpy as np
import pytest

from tests.training.tiny import Tiny
from training.data import find_source
from training.data.single_digits import SingleDigits
from training.data.source import Part
from training.data.split import Split

PARTS: tuple[Part, ...] = ("training", "validation", "test")


@pytest.fixture
def source(tiny: Tiny) -> SingleDigits:
    found = find_source("single-digits", folder=tiny.folder)
    assert isinstance(found, SingleDigits)
    return replace(found, counts={"training": 30, "validation": 20, "test": 40})


def test_every_scene_has_one_digit_which_is_its_label(source: SingleDigits) -> None:
    for part in PARTS:
        split: Split = getattr(source, part)()
        scenes = source.scenes(part)
        assert [scene.digits for scene in scenes] == [(label,) for label in split.labels]
        np.testing.assert_array_equal(split.images, [scene.image for scene in scenes])
        assert split.images.shape == (source.counts[part], 64, 64)


def test_the_parts_are_drawn_from_digits_of_their_own(source: SingleDigits) -> None:
    digits = [source.scenes(part)._images for part in PARTS]

    training, validation, test = ({image.tobytes() for image in images} for images in digits)
    assert not training & validation
    assert not test & (training | validation)
    assert training | validation == {image.tobytes() for image in source.digits.training().images}


def test_the_catalogue_has_it_in_other_sizes_and_classes(source: SingleDigits, tiny: Tiny) -> None:
    assert find_source("single-digits", (1, 28, 28), tiny.folder, ("7", "1")).labels == ("7", "1")
    assert source.shape == (1, 64, 64)
    assert source.labels == tuple("0123456789")
