import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from models.layers.pixels import unit
from tests.training.tiny import coloured, digits
from training.craft.augmentation import Augmentation, augment, augment_masked

MOVING = ("shift", "rotation", "shear", "scale", "zoom", "stretch", "elastic", "flip")
KINDS = [
    Augmentation(shift=2),
    Augmentation(rotation=15),
    Augmentation(shear=10),
    Augmentation(scale=0.2),
    Augmentation(zoom=(0.6, 2.0)),
    Augmentation(stretch=0.3),
    Augmentation(elastic=0.7),
    Augmentation(flip=0.5),
    Augmentation(crop=3),
    Augmentation(brightness=0.3),
    Augmentation(contrast=0.3),
    Augmentation(gamma=0.3),
    Augmentation(erase=0.5),
]
EVERYTHING = Augmentation(
    shift=1,
    rotation=5,
    shear=5,
    scale=0.1,
    zoom=(0.8, 1.2),
    stretch=0.1,
    elastic=0.5,
    flip=0.5,
    crop=2,
    brightness=0.1,
    contrast=0.1,
    saturation=0.2,
    tint=0.1,
    gamma=0.1,
    erase=0.5,
)
MOVES = [how for how in KINDS if not how.crop and how.model_fields_set & {*MOVING}]
every_kind = pytest.mark.parametrize("how", KINDS, ids=lambda how: next(iter(how.model_dump(exclude_defaults=True))))


@pytest.fixture
def images() -> Tensor:
    return unit(torch.from_numpy(digits()[0][:64].copy()))


@given(seed=st.integers(0, 2**40))
def test_nothing_asked_changes_nothing(seed: int) -> None:
    images = torch.rand(3, 1, 8, 8)
    assert augment(images, Augmentation(), seed) is images


@every_kind
def test_each_kind_keeps_shape_and_range_and_the_images_it_is_given(images: Tensor, how: Augmentation) -> None:
    given = images.clone()
    found = augment(images, how, 0)
    assert torch.equal(images, given)
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    changed = (found - images).abs().amax((1, 2, 3)) > 1e-3
    # A flip and an erasure come to half of the images, a crop leaves one place in 49 where it is.
    assert changed.float().mean() > (0.3 if how.flip or how.erase else 0.85)


@pytest.mark.parametrize("how", [*KINDS, EVERYTHING], ids=lambda how: "-".join(how.model_dump(exclude_defaults=True)))
def test_the_seed_alone_decides(images: Tensor, how: Augmentation) -> None:
    torch.manual_seed(1)
    first = augment(images, how, 1)
    torch.manual_seed(2)
    assert torch.equal(first, augment(images, how, 1))
    assert not torch.equal(first, augment(images, how, 2))


def test_generators_of_the_process_are_left_as_they_were(images: Tensor) -> None:
    before = torch.random.get_rng_state()
    augment(images, EVERYTHING, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_kind
def test_images_of_a_batch_are_distorted_each_in_its_own_way(images: Tensor, how: Augmentation) -> None:
    found = augment(images[:1].expand(64, -1, -1, -1), how, 0)
    different = len({image.numpy().tobytes() for image in found})
    assert different == 2 if how.flip else different > 20


@every_kind
def test_the_channels_of_a_colour_image_are_distorted_together(how: Augmentation) -> None:
    grey = unit(torch.from_numpy(digits()[0][:16].copy()))
    found = augment(grey.expand(-1, 3, -1, -1), how, 0)
    torch.testing.assert_close(found[:, 0], found[:, 1])
    torch.testing.assert_close(found[:, 0], found[:, 2])


def centre(image: Tensor) -> Tensor:
    """The centre of mass of a grey image (1, H, W), in pixels: (x, y)."""
    weights = image[0] / image.sum()
    across = torch.arange(28.0)
    return torch.stack([(weights.sum(0) * across).sum(), (weights.sum(1) * across).sum()])


def moves(images: Tensor, found: Tensor) -> Tensor:
    """By how many pixels the ink of each image has moved: (B, 2)."""
    return torch.stack([centre(a) - centre(b) for a, b in zip(found, images, strict=True)])


def assert_fills(values: Tensor, largest: float, tolerance: float) -> None:
    """That the values are draws from a uniform distribution on -largest..largest."""
    assert values.abs().max() <= largest + tolerance
    assert values.max() > 0.8 * largest
    assert values.min() < -0.8 * largest
    assert values.std() == pytest.approx(largest / 3**0.5, rel=0.2)


def test_a_shift_moves_the_ink_by_at_most_its_pixels_and_by_as_much_as_that(images: Tensor) -> None:
    found = moves(images, augment(images, Augmentation(shift=2), 0))
    for axis in (0, 1):
        assert_fills(found[:, axis], 2, 0.01)
    assert (found - found.round()).abs().max() > 0.2  # by parts of a pixel


def test_a_crop_moves_by_each_number_of_whole_pixels(images: Tensor) -> None:
    # Only the middle of the image has ink, so that none is cut off.
    spot = torch.zeros(600, 1, 28, 28)
    spot[:, :, 12:16, 12:16] = 1
    found = moves(spot, augment(spot, Augmentation(crop=2), 0)).round(decimals=3)
    pairs = {(int(x), int(y)) for x, y in found.tolist() if x == int(x) and y == int(y)}
    assert len(pairs) == 25
    assert pairs == {(x, y) for x in range(-2, 3) for y in range(-2, 3)}


def test_a_flip_mirrors_its_share_of_the_images_from_left_to_right() -> None:
    images = unit(torch.from_numpy(digits()[0].copy()))  # 300
    found = augment(images, Augmentation(flip=0.25), 0)
    flipped = (found == images.flip(3)).all((1, 2, 3))
    kept = (found == images).all((1, 2, 3))
    assert (flipped | kept).all()
    assert flipped.float().mean() == pytest.approx(0.25, abs=0.075)  # three deviations


def bars(height: int = 28, width: int = 28) -> Tensor:
    """300 horizontal bars through the centre (300, 1, H, W), two pixels high."""
    images = torch.zeros(300, 1, height, width)
    images[:, :, height // 2 - 1 : height // 2 + 1, 4:-4] = 1
    return images


def test_a_rotation_turns_by_its_degrees() -> None:
    turned = augment(bars(), Augmentation(rotation=20), 0)
    left, right = turned[:, 0, :, 5], turned[:, 0, :, 22]  # (B, H)
    across = torch.arange(28.0)
    rise = (right @ across) / right.sum(1) - (left @ across) / left.sum(1)  # (B,)
    assert_fills(torch.rad2deg(torch.atan2(rise, torch.tensor(17.0))), 20, 0.5)


def test_a_shear_leans_by_its_degrees() -> None:
    upright = bars().transpose(2, 3)
    leaning = augment(upright, Augmentation(shear=20), 0)
    top, bottom = leaning[:, 0, 6], leaning[:, 0, 21]  # (B, W)
    across = torch.arange(28.0)
    lean = (bottom @ across) / bottom.sum(1) - (top @ across) / top.sum(1)  # (B,)
    assert_fills(torch.rad2deg(torch.atan2(lean, torch.tensor(15.0))), 20, 0.5)


def test_a_scale_stretches_by_its_fraction() -> None:
    square = torch.zeros(300, 1, 28, 28)
    square[:, :, 9:19, 9:19] = 1  # 100 pixels
    found = augment(square, Augmentation(scale=0.3), 0).sum((1, 2, 3)).sqrt() / 10 - 1  # (B,)
    assert_fills(found, 0.3, 0.02)


def test_a_zoom_doubles_as_often_as_it_halves_and_moves_what_it_shows() -> None:
    # A ramp of values, continued at its edges, is as steep as the image is small.
    ramps = (torch.arange(64) / 100).expand(600, 1, 64, 64)
    found, _ = augment_masked(ramps, torch.zeros(600, 64, 64), Augmentation(zoom=(0.5, 2.0)), 0, 255)
    factors = 0.01 / found.diff(dim=3).amax((1, 2, 3))  # (B,)
    assert_fills(factors.log2(), 1, 0.01)
    left = found[:, 0, 0, 0][factors > 1.8] * 100  # the first column that an enlarged image shows
    assert left.min() < 5
    assert left.max() > 25


def test_a_stretch_changes_the_ratio_of_width_to_height_by_its_fraction() -> None:
    square = torch.zeros(300, 1, 28, 28)
    square[:, :, 9:19, 9:19] = 1
    found = augment(square, Augmentation(stretch=0.3), 0)[:, 0]
    ratios = found.amax(1).sum(1) / found.amax(2).sum(1)  # (B,) width to height
    assert 1.2 < ratios.max() < 1.4
    assert 0.7 < ratios.min() < 0.85


def test_colours_move_to_and_from_grey_and_each_channel_has_a_factor_of_its_own() -> None:
    colour = torch.tensor([0.3, 0.5, 0.7])[:, None, None].expand(300, 3, 2, 2)
    found = augment(colour, Augmentation(saturation=0.4), 0)[:, :, 0, 0]
    assert_fills((found[:, 2] - 0.5) / 0.2 - 1, 0.4, 1e-5)
    torch.testing.assert_close(found.mean(1), torch.full((300,), 0.5))
    tinted = augment(colour, Augmentation(tint=0.2), 0)[:, :, 0, 0] / colour[:, :, 0, 0] - 1
    assert_fills(tinted[:, 0], 0.2, 1e-5)
    assert (tinted[:, 0] - tinted[:, 1]).abs().max() > 0.1


def test_gamma_is_the_logarithm_of_a_power() -> None:
    grey = torch.full((300, 1, 2, 2), 0.5)
    found = augment(grey, Augmentation(gamma=0.4), 0)[:, 0, 0, 0]
    assert_fills((found.log() / torch.tensor(0.5).log()).log(), 0.4, 1e-5)


@pytest.mark.parametrize("how", MOVES, ids=lambda how: next(iter(how.model_dump(exclude_defaults=True))))
def test_a_mask_moves_as_its_image_does(how: Augmentation) -> None:
    # The image shows the mask's class as a level of grey, in squares of 14 pixels, in a frame of black.
    classes = torch.arange(9).view(3, 3).repeat_interleave(14, 0).repeat_interleave(14, 1)  # (42, 42)
    masks = classes.to(torch.uint8).expand(40, -1, -1)
    images = (classes.float() / 10).expand(40, 1, -1, -1)
    found, moved = augment_masked(images, masks, how, 3, 255)
    assert moved.dtype == torch.uint8
    assert set(moved.flatten().tolist()) <= {*range(9), 255}
    kept = moved != 255
    # Bilinear and nearest differ at the squares' edges only.
    near = ((found[:, 0] * 10 - moved.float()).abs() < 0.05)[kept]
    assert near.float().mean() > 0.8
    assert (moved != masks).any()


def test_pixels_from_outside_continue_the_edge_and_have_no_class() -> None:
    found, moved = augment_masked(
        torch.full((50, 1, 20, 20), 0.5), torch.zeros(50, 20, 20, dtype=torch.uint8), Augmentation(shift=6), 0, 255
    )
    torch.testing.assert_close(found, torch.full_like(found, 0.5))
    assert 0.1 < (moved == 255).float().mean() < 0.5


def test_erased_pixels_have_no_class() -> None:
    white, masks = torch.ones(50, 1, 20, 20), torch.full((50, 20, 20), 3, dtype=torch.uint8)
    found, moved = augment_masked(white, masks, Augmentation(erase=0.9), 0, 255)
    assert torch.equal(moved == 255, found[:, 0] == 0)
    assert set(moved.flatten().tolist()) == {3, 255}


def test_masks_stay_where_they_are_if_only_the_light_changes() -> None:
    images, masks = torch.rand(4, 3, 9, 9), torch.randint(0, 5, (4, 9, 9), dtype=torch.uint8)
    found, moved = augment_masked(images, masks, Augmentation(gamma=0.4, tint=0.1, brightness=0.1), 0, 255)
    assert torch.equal(moved, masks)
    assert not torch.equal(found, images)


def test_brightness_is_added_and_contrast_multiplies() -> None:
    grey = torch.full((300, 1, 4, 4), 0.5)
    assert_fills(augment(grey, Augmentation(brightness=0.4), 0)[:, 0, 0, 0] - 0.5, 0.4, 1e-6)
    assert_fills(augment(grey, Augmentation(contrast=0.4), 0)[:, 0, 0, 0] / 0.5 - 1, 0.4, 1e-6)


def test_an_erasure_blackens_one_rectangle_of_its_share_of_the_images() -> None:
    white = torch.ones(400, 1, 28, 28)
    black = augment(white, Augmentation(erase=0.25), 0)[:, 0] == 0  # (B, H, W)
    erased = black.flatten(1).any(1)
    assert erased.float().mean() == pytest.approx(0.25, abs=0.065)  # three deviations
    for image in black[erased]:
        rows, columns = image.any(1), image.any(0)
        assert image.sum() == rows.sum() * columns.sum()
        assert 0.01 <= image.float().mean() <= 0.35


@pytest.mark.parametrize(("height", "width"), [(28, 28), (48, 24)])
def test_an_elastic_distortion_deviates_by_its_pixels_along_either_axis(height: int, width: int) -> None:
    # A ramp of values says by how much each pixel was displaced.
    across = (torch.arange(width) / width).expand(height, width)
    down = (torch.arange(height) / height)[:, None].expand(height, width)
    ramps = torch.stack([across, down]).expand(300, -1, -1, -1)  # (B, 2, H, W)
    found = (augment(ramps, Augmentation(elastic=0.7), 0) - ramps)[:, :, 4:-4, 4:-4]
    assert (found[:, 0] * width).std() == pytest.approx(0.7, rel=0.1)
    assert (found[:, 1] * height).std() == pytest.approx(0.7, rel=0.1)
    # Smooth: neighbours move together.
    assert (found[:, 0, :, 1:] - found[:, 0, :, :-1]).std() * width < 0.25


def test_colours_stay_colours_of_the_same_image() -> None:
    images = unit(torch.from_numpy(coloured()[0][:32].copy()))
    found = augment(images, EVERYTHING, 0)
    assert found.shape == images.shape
    assert (found - images).abs().mean() > 0.02


@pytest.mark.parametrize(
    "values", [{"crop": -1}, {"crop": 1.5}, {"flip": 1.0}, {"shift": -1}, {"erase": 2}, {"colour": 1}, {"zoom": (2, 1)}]
)
def test_a_value_that_means_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        Augmentation.model_validate(values)
