from dataclasses import replace

import numpy as np
import pytest

from tests.training.tiny import Tiny
from training.data import find_captions
from training.data.digit_scenes import DigitScenes
from training.data.scenes import Scenes
from training.data.source import Part
from training.data.statistics import measure

PARTS: tuple[Part, ...] = ("training", "validation", "test")


@pytest.fixture
def scenes(tiny: Tiny) -> DigitScenes:
    source = find_captions("digit-scenes", tiny.folder)
    assert isinstance(source, DigitScenes)
    return replace(source, counts={"training": 60, "validation": 30, "test": 40})


def test_each_part_is_drawn_from_digits_of_its_own(scenes: DigitScenes, monkeypatch: pytest.MonkeyPatch) -> None:
    pools: dict[str, set[bytes]] = {}

    def keep(digits: object, key: str, count: int) -> None:
        images = digits.images  # type: ignore[attr-defined]
        pools[key] = {image.tobytes() for image in images}

    monkeypatch.setattr("training.data.drawn_scenes.Scenes", keep)
    for part in PARTS:
        scenes.scenes(part)
    training, validation, test = (pools[f"{part} 0"] for part in PARTS)
    assert not training & validation
    assert not training & test
    assert not validation & test
    assert training | validation == {image.tobytes() for image in scenes.digits.training().images}
    assert test == {image.tobytes() for image in scenes.digits.test().images}
    assert len(training) == 10 * len(validation)


def test_a_split_holds_the_scenes_images_and_captions(scenes: DigitScenes) -> None:
    splits = {"training": scenes.training(), "validation": scenes.validation(), "test": scenes.test()}
    for part in PARTS:
        split, drawn = splits[part], scenes.scenes(part)
        assert len(split) == len(drawn) == scenes.counts[part]
        assert split.images.shape[1:] == (64, 64)
        for image, captions, scene in zip(split.images, split.captions, drawn, strict=True):
            assert (image == scene.image).all()
            assert captions == (scene.caption,)


def test_another_seed_gives_other_scenes_and_more_of_them_the_same_first(scenes: DigitScenes) -> None:
    captions = scenes.test().captions
    assert replace(scenes, seed=1).test().captions != captions
    more = replace(scenes, counts={**scenes.counts, "test": 50}).test().captions
    assert more[:40] == captions


def test_parts_of_the_same_digits_would_still_be_other_scenes(scenes: DigitScenes) -> None:
    digits = scenes.digits.test()
    assert Scenes(digits, "training 0", 1)[0].boxes != Scenes(digits, "test 0", 1)[0].boxes


def test_an_image_is_served_on_black_and_not_mirrored(scenes: DigitScenes) -> None:
    taken = scenes.preprocessing("image")
    assert (taken.colour, taken.height, taken.width, taken.fit, taken.background) == ("grey", 64, 64, "pad", 0)
    assert not scenes.mirrored
    assert scenes.files == scenes.digits.files
    assert scenes.licence == "CC BY-SA 3.0"


def test_the_statistics_stated_are_about_those_of_any_such_scenes(scenes: DigitScenes) -> None:
    found = measure(np.concatenate([scenes.training().images, scenes.test().images]))
    assert found.mean == pytest.approx(scenes.mean, abs=0.01)
    assert found.std == pytest.approx(scenes.std, abs=0.02)
