from dataclasses import replace

import pytest

from service.package import Preprocessing
from training.classification.card import describe_views
from training.classification.subject import Subject


@pytest.mark.parametrize(
    ("mirrored", "height", "width", "allowed"),
    [
        (False, 224, 224, ("single",)),
        (True, 28, 28, ("single", "flip")),
        (True, 63, 224, ("single", "flip")),
        (True, 64, 64, ("single", "flip", "ten_crop")),
    ],
)
def test_a_caller_may_ask_for_the_views_that_a_network_can_know(
    subject: Subject, mirrored: bool, height: int, width: int, allowed: tuple[str, ...]
) -> None:
    preprocessing = Preprocessing(tensor="image", colour="grey", height=height, width=width)
    views = describe_views(replace(subject, mirrored=mirrored, preprocessing=preprocessing))
    assert (views.default, views.allowed) == ("single", allowed)


def test_digits_learnt_without_mirror_images_are_not_mirrored(subject: Subject) -> None:
    assert not subject.mirrored
