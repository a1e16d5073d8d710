"""Models of one pixel after the other: what they see, that they are distributions, and their step beside the whole."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from models.generation.autoregressive import PixelModel
from models.generation.gated_pixelcnn import GatedPixelCNN
from models.generation.levels import centre
from models.generation.pixelcnn import PixelCNN
from models.generation.raster import causal_offsets

Place = tuple[int, int]
FAMILIES: dict[str, Any] = {"masked": PixelCNN, "gated": GatedPixelCNN}
THIN: dict[str, dict[str, int]] = {
    "masked": {"h": 3, "blocks": 2, "hidden": 4},
    "gated": {"p": 3, "layers": 3, "hidden": 4},
}
each = pytest.mark.parametrize("family", FAMILIES)


def thin(family: str, size: Place, levels: int = 2, **config: int) -> PixelModel:
    """In 64 bits and at almost no width."""
    torch.manual_seed(0)
    model = FAMILIES[family](size, levels, **THIN[family] | config)
    assert isinstance(model, PixelModel)
    return model.double().eval()


def seen(model: PixelModel) -> set[Place]:
    """Where the pixels are, from the middle of the image, that the gradient of its logits reaches."""
    height, width = model.size
    x = torch.randn(8, 1, height, width, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(model(x)[:, :, height // 2, width // 2].sum())
    assert x.grad is not None
    reached = x.grad.abs().sum((0, 1)).nonzero()  # (n, 2)
    return {(int(row) - height // 2, int(column) - width // 2) for row, column in reached}


def sums(*sets: set[Place]) -> set[Place]:
    """All sums of one place of each set."""
    return {(sum(row for row, _ in places), sum(column for _, column in places)) for places in product(*sets)}


def test_the_masked_network_sees_the_sums_of_its_masks_and_has_a_blind_spot() -> None:
    found = seen(thin("masked", (13, 13), first_kernel=3, h=8))
    a, b = set(causal_offsets(3, centre=False)), set(causal_offsets(3, centre=True))
    assert found == sums(a, b, b)
    before = {(row, column) for row in range(-3, 0) for column in range(-3, 4)} | {(0, -3), (0, -2), (0, -1)}
    assert before - found == {(-1, 2), (-1, 3), (-2, 3)}  # the blind spot


def test_the_gated_network_sees_every_pixel_before_its_own_as_far_as_it_reaches() -> None:
    found = seen(thin("gated", (13, 13), first_kernel=3))
    assert found == {(row, column) for row in range(-4, 0) for column in range(-3, 4)} | {(0, -3), (0, -2), (0, -1)}


@each
@pytest.mark.parametrize("levels", [2, 3])
def test_the_probabilities_of_all_images_sum_to_1(family: str, levels: int) -> None:
    size = (2, 2) if family == "masked" else (2, 3)
    model = thin(family, size, levels, first_kernel=3, **({} if family == "masked" else {"layers": 2}))
    every = torch.tensor(list(product(range(levels), repeat=size[0] * size[1]))).reshape(-1, *size)
    with torch.no_grad():
        nats = log_likelihood(model, every)
    assert nats.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert nats.std() > 0


def log_likelihood(model: PixelModel, values: Tensor) -> Tensor:
    """As the model's, in 64 bits."""
    logits = model(centre(values, model.levels).unsqueeze(1).double())
    if model.levels == 2:
        return -binary_cross_entropy_with_logits(logits.squeeze(1), values.double(), reduction="none").sum((1, 2))
    return -cross_entropy(logits, values, reduction="none").sum((1, 2))


@each
@pytest.mark.parametrize("levels", [2, 5])
def test_the_likelihood_is_that_of_a_bernoulli_or_categorical_variable_for_each_pixel(family: str, levels: int) -> None:
    model = thin(family, (6, 8), levels).float()
    values = torch.randint(levels, (3, 6, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, wanted = model.log_likelihood(values), log_likelihood(model.double(), values)
    torch.testing.assert_close(ours.double(), wanted, rtol=1e-5, atol=1e-4)


@each
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("classes", [0, 3])
@torch.no_grad()
def test_steps_are_the_whole_at_every_pixel_though_rows_begin_at_different_times(
    family: str, kernel: int, classes: int
) -> None:
    size, levels = (5, 9), 4
    model = thin(family, size, levels, kernel=kernel, classes=classes)
    values = torch.randint(levels, (3, *size), generator=torch.Generator().manual_seed(1))
    label = torch.arange(3) if classes else None
    wanted = model(centre(values, levels).unsqueeze(1).double(), label).flatten(2)  # (B, K, H W)
    pixels, late = values.flatten(1), torch.tensor([0, 4, 11])
    state = model.start(torch.zeros(3, dtype=torch.float64))
    for step in range(pixels.shape[1]):
        position = (step - late).clamp(min=0)
        begins = late == step
        state = {name: line * ~begins.reshape(-1, *[1] * (line.ndim - 1)) for name, line in state.items()}
        pixel = pixels.gather(1, (position - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        # What was chosen before the first pixel is not read.
        pixel = torch.where(position == 0, levels - 1, pixel)
        logits, state = model.step(pixel, position, state, label)
        for row in (late <= step).nonzero().flatten().tolist():
            torch.testing.assert_close(logits[row], wanted[row, :, position[row]], rtol=1e-10, atol=1e-10)


@each
def test_a_label_changes_the_likelihood_and_may_not_be_missing(family: str) -> None:
    model = thin(family, (5, 9), classes=2).float()
    values = torch.zeros(2, 5, 9, dtype=torch.int64)
    with torch.no_grad():
        first, second = model.log_likelihood(values, torch.tensor([0, 1]))
    assert first != second
    with pytest.raises(ValueError, match="label is missing; the model has 2 classes"):
        model.log_likelihood(values)


@pytest.mark.fit
@each
def test_a_few_steps_make_images_more_probable(family: str) -> None:
    model = thin(family, (6, 8)).float().train()
    values = (torch.arange(8).expand(4, 6, 8) % 2).long()  # stripes
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(30):
        loss = -model.log_likelihood(values).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_what_no_pixel_or_network_can_be_is_refused() -> None:
    with pytest.raises(ValueError, match="levels is 257; a pixel has 2 to 256"):
        PixelCNN((4, 4), 257)
    with pytest.raises(ValueError, match="layers is 1; there must be at least 2"):
        GatedPixelCNN((28, 28), layers=1)
    with pytest.raises(ValueError, match="images are 8 pixels wide; 6 layers with kernels of 7 and 3 need at least 9"):
        GatedPixelCNN((8, 8), layers=6)
