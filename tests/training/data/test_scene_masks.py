import numpy as np

from tests.training.tiny import Tiny
from training.data import find_masks
from training.data.catalogue import open_scenes


def test_each_pixel_of_a_scene_has_the_digit_that_it_shows(scenes: Tiny) -> None:
    source = find_masks("digit-scenes", scenes.folder)
    found = source.validation()
    drawn = open_scenes(scenes.folder).scenes("validation")
    assert len(found) == len(drawn)
    for image, mask, scene in zip(found.images, found.masks, drawn, strict=True):
        assert (image == scene.image).all()
        values = {source.labels[number] for number in np.unique(mask)}
        assert values <= {"background", *map(str, scene.digits)}
        assert (mask == scene.mask).all()
    assert len(source.palette) == len(set(source.palette)) == len(source.labels) == 11
    assert source.labels[source.background or 0] == "background"
