import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.imaging import decode, prepare
from tests.training.tiny import Tiny, encoded
from training.data import find_source
from training.errors import DataError


def test_an_image_is_trained_on_as_the_service_prepares_its_file(tiny: Tiny) -> None:
    source = find_source("mnist", (3, 40, 33), tiny.folder)
    said = source.preprocessing("image")
    for seen, published in zip(source.test().images, tiny.source.test().images, strict=True):
        assert (seen == prepare(decode(encoded(published), 1 << 20), said)).all()


def test_colour_becomes_grey_as_the_service_makes_it(tiny_colour: Tiny) -> None:
    source = find_source("cifar10-jpeg", (1, 32, 32), tiny_colour.folder)
    seen, published = source.test().images[3], tiny_colour.source.test().images[3]
    assert (seen == np.asarray(Image.open(io.BytesIO(encoded(published))).convert("L"))).all()


def test_the_statistics_are_those_of_the_training_images_as_seen(tiny: Tiny) -> None:
    source = find_source("mnist", (3, 32, 32), tiny.folder)
    mean, std = source.mean, source.std
    pixels = source.training().images / 255
    assert mean == pytest.approx(pixels.mean((0, 1, 2)), abs=5.1e-5)
    assert std == pytest.approx(pixels.std((0, 1, 2)), abs=5.1e-5)
    assert (source.mean, source.std) == (mean, std)


def test_chosen_classes_are_numbered_in_their_order(tiny: Tiny) -> None:
    whole = tiny.source.test()
    source = find_source("mnist", folder=tiny.folder, classes=("7", "1"))
    assert source.labels == ("7", "1")
    chosen = source.test()
    assert len(chosen) == 16
    assert (chosen.images[chosen.labels == 0] == whole.images[whole.labels == 7]).all()
    assert (chosen.images[chosen.labels == 1] == whole.images[whole.labels == 1]).all()


def test_the_words_on_the_card_stay_the_sets(tiny: Tiny) -> None:
    source = find_source("mnist", (3, 32, 32), tiny.folder, ("7", "1"))
    said = (source.name, source.title, source.licence, source.homepage, source.files, source.validation())
    own = tiny.source
    assert said == (own.name, own.title, own.licence, own.homepage, own.files, None)


def test_a_folders_own_validation_split_is_seen_too(tmp_path: Path) -> None:
    for split, images in (("train", 4), ("val", 2), ("test", 1)):
        for label in "abc":
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(images):
                pixels = np.full((8, 8), 40 * number + ord(label), np.uint8)
                (tmp_path / split / label / f"{number}.png").write_bytes(encoded(pixels))
    held_out = find_source(str(tmp_path), (1, 8, 8), classes=("c", "a")).validation()
    assert held_out is not None
    assert held_out.images[:, 0, 0].tolist() == [97, 137, 99, 139]
    assert held_out.labels.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("7", "seven"), "MNIST has no class 'seven'; it has 0, 1, 2"),
        (("7",), "classes is 7; it needs two or more"),
        (("7", "7"), "classes is 7, 7; it needs two or more, each once"),
    ],
)
def test_classes_that_are_none_are_refused(tiny: Tiny, classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_source("mnist", folder=tiny.folder, classes=classes)


def test_two_channels_are_refused(tiny: Tiny) -> None:
    with pytest.raises(DataError, match="channels is 2"):
        find_source("mnist", (2, 28, 28), tiny.folder)
