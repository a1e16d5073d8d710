import pytest
import torch
from torch import Tensor

from tests.training.tiny import digits
from training.augmentation import augment
from training.graph import unit
from training.recipe import Augmentation

KINDS = [
    Augmentation(shift=2),
    Augmentation(rotation=15),
    Augmentation(shear=10),
    Augmentation(scale=0.2),
    Augmentation(elastic=0.7),
]
every_kind = pytest.mark.parametrize("how", KINDS, ids=lambda how: next(iter(how.model_dump(exclude_defaults=True))))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    return unit(torch.from_numpy(digits()[0][:64].copy()))


def test_nothing_asked_changes_nothing(images: Tensor) -> None:
    assert torch.equal(augment(images, Augmentation(), seeded()), images)


@every_kind
def test_each_kind_keeps_shape_and_range_and_moves_every_image(images: Tensor, how: Augmentation) -> None:
    found = augment(images, how, seeded())
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    assert ((found - images).abs().amax((1, 2, 3)) > 1e-3).all()


@every_kind
def test_the_generator_alone_decides(images: Tensor, how: Augmentation) -> None:
    first, again, other = (augment(images, how, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_kind
def test_images_of_a_batch_are_distorted_each_in_its_own_way(images: Tensor, how: Augmentation) -> None:
    same = images[:1].expand(8, -1, -1, -1)
    found = augment(same, how, seeded())
    assert len({image.numpy().tobytes() for image in found}) == 8


def centre(image: Tensor) -> Tensor:
    """The centre of mass of a grey image (1, H, W), in pixels: (x, y)."""
    weights = image[0] / image.sum()
    across = torch.arange(28.0)
    return torch.stack([(weights.sum(0) * across).sum(), (weights.sum(1) * across).sum()])


def test_a_shift_moves_the_ink_by_at_most_its_pixels_and_by_as_much_as_that(images: Tensor) -> None:
    found = augment(images, Augmentation(shift=2), seeded())
    moves = torch.stack([centre(a) - centre(b) for a, b in zip(found, images, strict=True)])  # (B, 2)
    assert moves.abs().max() <= 2.01
    assert (moves.amax(0) > 1.5).all()
    assert (moves.amin(0) < -1.5).all()


def test_a_rotation_turns_by_its_degrees(images: Tensor) -> None:
    bar = torch.zeros(200, 1, 28, 28)
    bar[:, :, 13:15, 4:24] = 1  # (B, 1, H, W): a horizontal bar through the centre
    turned = augment(bar, Augmentation(rotation=20), seeded())
    left, right = turned[:, 0, :, 5], turned[:, 0, :, 22]  # (B, H)
    across = torch.arange(28.0)
    rise = (right @ across) / right.sum(1) - (left @ across) / left.sum(1)  # (B,)
    degrees = torch.rad2deg(torch.atan2(rise, torch.tensor(17.0)))
    assert degrees.abs().max() <= 20.5
    assert degrees.max() > 17
    assert degrees.min() < -17
