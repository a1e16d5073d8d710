"""Flows: exact inverses, and determinants beside autograd's Jacobian."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.generation.bijection import ActNorm, Permutation, Squeeze
from models.generation.flow import CouplingFlow, Flow, dequantise
from models.generation.flow_graphs import FlowSampler, FlowScore
from models.generation.glow import Glow, InvertibleConvolution
from models.generation.realnvp import RealNVP
from tests.models.generation.exporting import check_parity

FLOWS: dict[str, Any] = {
    "coupling": lambda: CouplingFlow((1, 4, 4), layers=3, width=8),
    "realnvp": lambda: RealNVP((1, 4, 4), scales=2, width=4, blocks=1),
    "realnvp, three channels": lambda: RealNVP((3, 4, 4), scales=2, width=4, blocks=1, pixels="centre"),
    "glow": lambda: Glow((1, 4, 4), levels=2, steps=2, width=4),
    "glow, three channels": lambda: Glow((3, 4, 4), levels=1, steps=1, width=4, pixels="centre"),
}
each = pytest.mark.parametrize("name", FLOWS)


def flow(name: str) -> Flow:
    """With weights that do something: fresh couplings are the identity."""
    torch.manual_seed(0)
    model = FLOWS[name]()
    assert isinstance(model, Flow)
    for parameter in model.parameters():
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def pixels(model: Flow, rows: int) -> Tensor:
    return torch.rand(rows, *model.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@each
@torch.no_grad()
def test_the_inverse_gives_the_image_back_and_the_latents(name: str) -> None:
    model = flow(name).double()
    x = pixels(model, 3)
    z, _ = model(x)
    assert z.shape == (3, model.dimensions)
    torch.testing.assert_close(model.inverse(z), x, rtol=1e-9, atol=1e-9)
    z = torch.randn(z.shape, dtype=torch.float64)
    torch.testing.assert_close(model(model.inverse(z))[0], z, rtol=1e-7, atol=1e-7)


@each
def test_the_determinant_and_likelihood_are_those_of_autograds_jacobian(name: str) -> None:
    model = flow(name).double()
    x = pixels(model, 2).requires_grad_()
    z, volume = model(x)
    nats, latent = model.score(x)
    for row in range(2):
        rows = [torch.autograd.grad(value, x, retain_graph=True)[0][row].flatten() for value in z[row]]
        wanted = torch.linalg.slogdet(torch.stack(rows)).logabsdet  # of (D, D)
        torch.testing.assert_close(volume[row], wanted, rtol=1e-8, atol=1e-8)
        normal = -(z[row].square() / 2).sum() - model.dimensions * math.log(math.sqrt(2 * math.pi))
        torch.testing.assert_close(nats[row], normal + wanted - model.dimensions * math.log(256))
    assert torch.equal(latent, z)


@each
@torch.no_grad()
def test_a_row_does_not_depend_on_its_batch(name: str) -> None:
    model = flow(name).double()
    x = pixels(model, 3)
    torch.testing.assert_close(model(x)[1][1:2], model(x[1:2])[1])


@torch.no_grad()
def test_an_activation_normalisation_starts_with_mean_0_and_deviation_1_of_the_first_batch_only() -> None:
    layer = ActNorm(3)
    x = 5 + 3 * torch.randn(16, 3, 4, 4)
    y, volume = layer(x)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(3), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(volume, (16 * layer.g.sum()).expand(16))
    torch.testing.assert_close(layer(2 * x)[0] - layer.b, 2 * (y - layer.b))
    again = ActNorm(3)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(2 * x)[0], layer(2 * x)[0])


@torch.no_grad()
def test_a_1x1_convolution_starts_as_a_rotation_and_its_volume_is_its_determinants() -> None:
    torch.manual_seed(0)
    layer = InvertibleConvolution(5).double()
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(5, dtype=torch.float64), rtol=1e-5, atol=1e-5)
    for parameter in layer.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    y, volume = layer(x)
    torch.testing.assert_close(y, torch.einsum("kc,bchw->bkhw", layer.weight, x))
    torch.testing.assert_close(volume, (6 * torch.linalg.slogdet(layer.weight).logabsdet).expand(2))
    torch.testing.assert_close(layer.inverse(y), x)
    layer.freeze()
    torch.testing.assert_close(layer.inverse(y), x)


def test_a_permutation_is_drawn_from_its_seed() -> None:
    x = torch.arange(8.0).unsqueeze(0)
    first, again, other = (Permutation(8, seed)(x)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert sorted(first[0].tolist()) == list(range(8))


def test_a_squeeze_makes_each_square_of_pixels_four_channels() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert Squeeze()(x)[0][0, :, 0, 1].tolist() == [2, 3, 6, 7]


def test_dequantised_pixels_stay_in_their_level() -> None:
    levels = torch.tensor([0, 7, 255])
    x = dequantise(levels.expand(100, 3), torch.rand(100, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal((x * 256).floor().long(), levels.expand(100, 3))
    assert x.min() >= 0
    assert x.max() < 1


@torch.no_grad()
def test_an_image_that_a_flow_makes_is_the_one_whose_latents_it_finds() -> None:
    model = flow("glow")
    score, sampler = FlowScore(model, margin=1), FlowSampler(model, margin=1)
    image = torch.randint(256, (3, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    _, bits, latent = score(image, torch.full((3, 1, 4, 4), 0.5))
    assert torch.equal(sampler(latent, torch.ones(3))[0], image)
    assert bits.isfinite().all()
    mean = sampler(torch.zeros_like(latent), torch.ones(3))[0]
    assert torch.equal(sampler(latent, torch.zeros(3))[0], mean)


@torch.no_grad()
def test_a_fresh_sampler_keeps_the_weights_that_it_was_made_of() -> None:
    model = flow("glow")
    sampler, z = FlowSampler(model), torch.randn(1, 16)
    before = sampler(z, torch.ones(1))[0]
    for parameter in model.parameters():
        parameter.zero_()
    assert torch.equal(sampler(z, torch.ones(1))[0], before)


@pytest.mark.fit
@each
def test_a_few_steps_make_images_more_probable(name: str) -> None:
    torch.manual_seed(0)
    model = FLOWS[name]().train()
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.003), []
    for _ in range(60):
        values = torch.randint(256, (32, 1, 1, 1)).expand(-1, *model.shape)  # every pixel says what the others are
        loss = -model.score(dequantise(values, torch.rand(values.shape)))[0].mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert sum(losses[-5:]) < sum(losses[:5]) - 5


def test_sides_that_cannot_be_halved_so_often_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape is \(1, 28, 28\); height and width must be multiples of 8"):
        Glow((1, 28, 28), levels=3)
    with pytest.raises(KeyError, match="no pixels 'raw'; there are logit, centre"):
        RealNVP((1, 8, 8), pixels="raw")


@pytest.mark.export
@pytest.mark.parametrize("name", ["coupling", "realnvp, three channels", "glow"])
def test_sampler_and_score_under_onnx_runtime_are_torchs(name: str, tmp_path: Path) -> None:
    model, draw = flow(name), torch.Generator().manual_seed(2)
    sampler, score = FlowSampler(model), FlowScore(model)
    latent = torch.randn(3, model.dimensions, generator=draw)
    check_parity(sampler, sampler.examples(), {"latent": latent, "temperature": torch.ones(3)}, tmp_path / "s.onnx")
    shape = score.examples(3)["image"].shape
    image = torch.randint(256, shape, generator=draw, dtype=torch.uint8)
    noise = torch.rand(3, *model.shape, generator=draw)
    check_parity(score, score.examples(), {"image": image, "noise": noise}, tmp_path / "l.onnx")
