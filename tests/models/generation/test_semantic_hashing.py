"""Codes of bits."""

from typing import Any

import numpy as np
import pytest
import torch

from models.generation.semantic_hashing import SemanticHashing
from tests.models.generation.pictures import draw, grey

each = pytest.mark.parametrize("binarisation", ["noise", "straight_through"])


def thin(**config: Any) -> SemanticHashing:
    torch.manual_seed(0)
    return SemanticHashing(**{"bits": 16, "hidden": (12,), **config})


def test_a_code_is_of_zeros_and_ones_and_packed_as_numpy_packs_bits() -> None:
    model, x = thin(), grey(20)
    code = model.encode(x)
    assert set(code.flatten().tolist()) == {0, 1}
    packed = model.pack(x)
    assert packed.dtype == torch.uint8
    np.testing.assert_array_equal(packed, np.packbits(code.numpy().astype(bool), axis=1))
    np.testing.assert_array_equal(np.unpackbits(packed.numpy(), axis=1), code)


def test_straight_through_the_code_is_binary_and_its_gradient_a_sigmoids() -> None:
    model = thin(binarisation="straight_through")
    a = torch.randn(5, 16, generator=draw()).requires_grad_()
    code = model.soft_code(a, torch.zeros(5, 16))
    torch.testing.assert_close(code, (a > 0).to(torch.float32), rtol=0, atol=1e-6)
    (found,) = torch.autograd.grad(code.sum(), a)
    (wanted,) = torch.autograd.grad(a.sigmoid().sum(), a)
    torch.testing.assert_close(found, wanted)


def test_noise_before_the_sigmoid_leaves_only_what_is_far_from_zero() -> None:
    model, eps = thin(deviation=4.0), torch.randn(2000, 16, generator=draw())
    near, far = (model.soft_code(torch.full((2000, 16), a), eps).round().mean() for a in (0.5, 12.0))
    assert near < 0.6
    assert far > 0.99


@each
@pytest.mark.fit
def test_steps_lower_the_loss_and_reach_every_parameter(binarisation: str) -> None:
    model, x, generator = thin(binarisation=binarisation), grey(20), draw()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = -model(x, torch.randn(20, 16, generator=generator)).mean()
        torch.autograd.backward(loss)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 50


def test_a_code_decodes_to_an_image() -> None:
    model = thin()
    image = model.decode(model.encode(grey(3)))
    assert image.shape == (3, 1, 28, 28)
    assert 0 <= image.min() <= image.max() <= 1


def test_what_makes_no_code_is_refused() -> None:
    with pytest.raises(KeyError, match="no binarisation 'sign'; there are noise, straight_through"):
        thin(binarisation="sign")
    with pytest.raises(ValueError, match="bits is 12; codes are stored in whole bytes, so it is a multiple of 8"):
        thin(bits=12)
