"""What moves in the image moves in the maps (I2DL IX: a convolution commutes with shifts)."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.classification.rows import build
from models.receptive_field import Field, receptive_fields
from models.variant import Variant
from tests.models.rows import CONVOLUTIONAL, GREY, each, thin

FAMILIES = [variant for variant in GREY if variant in CONVOLUTIONAL]
WIDTH = 32


@given(down=st.integers(-3, 3), across=st.integers(-3, 3), kernel=st.integers(1, 5), seed=st.integers(0, 99))
def test_on_a_torus_a_convolution_commutes_with_every_shift(down: int, across: int, kernel: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = nn.Conv2d(2, 3, kernel, padding="same", padding_mode="circular", dtype=torch.float64)
    x, shift = torch.randn(1, 2, 7, 9, dtype=torch.float64), (down, across)
    torch.testing.assert_close(layer(x.roll(shift, (2, 3))), layer(x).roll(shift, (2, 3)))


@each(FAMILIES)
@pytest.mark.parametrize("steps", [1, 2])
def test_a_shift_by_a_step_moves_the_last_maps_by_a_unit(variant: Variant, steps: int) -> None:
    """As far as a unit's receptive field lies within the image: the padding does not move."""
    torch.manual_seed(0)
    maps, field = network(variant)
    height = (2 * field.side // field.step + 12) * field.step
    x = torch.randn(1, variant.input_shape[0], height, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        before, after = maps(x), maps(x.roll(steps * field.step, 2))  # (1, K, h, w)
    margin = field.side // field.step + 1
    inside = slice(margin, before.shape[2] - margin - steps)
    wanted = before[:, :, inside]
    assert wanted.shape[2] >= 3
    torch.testing.assert_close(after[:, :, inside.start + steps : inside.stop + steps], wanted)
    assert not torch.allclose(after[:, :, inside], wanted)


def network(variant: Variant) -> tuple[Any, Field]:
    """The row's maps in 64 bits, thin, and what one unit of the last of them sees."""
    model: Any = build(variant.name, thin(variant)).double().eval()
    field = max(receptive_fields(model).values(), key=lambda field: field.side)
    return model.maps, field
