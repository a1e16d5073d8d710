"""Generators and discriminators."""

from typing import Any

import pytest
import torch
from torch import nn

from models.generation.gan import GAN
from models.generation.rows import build
from tests.models.generation.pictures import classes, draw, grey
from training.generation.loss import discriminator_loss, generator_loss


def thin(**config: Any) -> GAN:
    torch.manual_seed(0)
    return GAN(**{"latent": 4, "widths": (8, 6), **config})


def latents(rows: int) -> torch.Tensor:
    return torch.randn(rows, 4, generator=draw(1))


@pytest.mark.parametrize("name", ["dcgan", "dcgan-32"])
def test_images_have_the_rows_shape_and_range(name: str) -> None:
    shape = (3, 32, 32) if name.endswith("-32") else (1, 28, 28)
    model: Any = build(name, {"latent": 4, "widths": (8, 6)})
    x = model(latents(3))
    assert x.shape == (3, *shape)
    assert x.min() >= -1
    assert x.max() <= 1
    torch.testing.assert_close(model.eval().decode(latents(3)), (model(latents(3)) + 1) / 2)
    assert model.discriminator(x).shape == (3,)


def test_labels_change_what_is_generated_and_what_is_believed() -> None:
    model, z, x = thin(classes=10).eval(), latents(1), 2 * grey(1) - 1
    zero, one = torch.tensor([0]), torch.tensor([1])
    assert not torch.allclose(model(z, zero), model(z, one))
    assert not torch.allclose(model.discriminator(x, zero), model.discriminator(x, one))


def test_each_loss_trains_its_own_network() -> None:
    model, x = thin(), 2 * grey(8) - 1
    fake = model(latents(8))
    torch.autograd.backward(discriminator_loss(model.discriminator(x), model.discriminator(fake.detach())))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.discriminator.parameters())
    assert all(p.grad is None for p in model.generator.parameters())
    torch.autograd.backward(generator_loss(model.discriminator(fake)))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.generator.parameters())


@pytest.mark.fit
@pytest.mark.parametrize("normalisation", ["batch", "spectral", "none"])
def test_the_discriminator_learns_to_tell_and_then_the_generator_to_fool(normalisation: str) -> None:
    model = thin(discriminator_normalisation=normalisation, classes=10)
    x, y, z = 2 * grey(16) - 1, classes(16), latents(16)
    parts = model.discriminator, model.generator
    optimizers = [torch.optim.Adam(part.parameters(), 0.005, betas=(0.5, 0.999)) for part in parts]
    told, fooled = [], []
    for _ in range(15):
        optimizers[0].zero_grad()
        loss = discriminator_loss(model.discriminator(x, y), model.discriminator(model(z, y).detach(), y))
        torch.autograd.backward(loss)
        optimizers[0].step()
        told.append(loss.item())
    for _ in range(15):
        optimizers[1].zero_grad()
        loss = generator_loss(model.discriminator(model(z, y), y))
        torch.autograd.backward(loss)
        optimizers[1].step()
        fooled.append(loss.item())
    assert told[-1] < told[0]
    assert fooled[-1] < fooled[0]


def test_spectral_normalisation_bounds_each_layer() -> None:
    model = thin(discriminator_normalisation="spectral")
    for _ in range(30):  # each pass improves the estimate of the largest singular value
        model.discriminator(grey(2))
    layers = [m for m in model.discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.discriminator.modules())


def test_a_seed_gives_the_same_images() -> None:
    torch.testing.assert_close(thin()(latents(2)), thin()(latents(2)), rtol=0, atol=0)


def test_what_makes_no_gan_is_refused() -> None:
    with pytest.raises(KeyError, match="no normalisation 'power'; there are batch, spectral, none"):
        thin(discriminator_normalisation="power")
    with pytest.raises(ValueError, match="3 widths cannot halve 28x28 so often; sides must stay whole"):
        thin(widths=(8, 6, 4))
    with pytest.raises(ValueError, match="labels are missing; the model has 10 classes"):
        thin(classes=10)(latents(1))
    with pytest.raises(ValueError, match="labels are given; the model has 0 classes"):
        thin().discriminator(grey(1), classes(1))
