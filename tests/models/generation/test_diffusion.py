"""Diffusion beside formulas that are computed in another way."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.generation.denoising import DenoisingStep, denoise, sample, timesteps
from models.generation.diffusion import Diffusion
from models.generation.noise_schedule import betas
from tests.models.generation.exporting import check_parity

T = 100


def diffusion(classes: int = 3, channels: int = 1, schedule: str = "linear") -> Diffusion:
    """Tiny, with a network that says something: a fresh one predicts no noise."""
    torch.manual_seed(0)
    model = Diffusion((channels, 8, 8), widths=(4, 8), classes=classes, timesteps=T, schedule=schedule)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)
    return model.eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_schedules_are_those_of_the_papers() -> None:
    linear, cosine = betas("linear", 1000), betas("cosine", 1000)
    assert linear[[0, -1]].tolist() == pytest.approx([1e-4, 0.02])
    assert (1 - linear).prod().item() == pytest.approx(4.036e-5, rel=1e-3)
    abar = (1 - cosine).cumprod(0)
    for t in (0, 249, 499, 900):
        wanted = [math.cos((s / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for s in (t + 1, 0)]
        assert abar[t].item() == pytest.approx(wanted[0] / wanted[1])
    assert cosine.max() == 0.999


def test_images_become_noise_step_by_step_as_in_one_step() -> None:
    model = diffusion()
    beta = betas("linear", T)
    mean, variance = 1.0, 0.0
    for t in range(T):
        mean, variance = mean * math.sqrt(1 - beta[t]), variance * (1 - beta[t].item()) + beta[t].item()
        at = torch.tensor([t])
        assert model.q_sample(torch.ones(1, 1, 1, 1), at, torch.zeros(1, 1, 1, 1)).item() == pytest.approx(
            mean, rel=1e-5
        )
        noise = model.q_sample(torch.zeros(1, 1, 1, 1), at, torch.ones(1, 1, 1, 1)).item()
        assert noise**2 == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize("t", [1, 5, T - 1])
def test_the_posterior_is_the_product_of_two_normal_densities(t: int) -> None:
    model, beta = diffusion(), betas("linear", T).numpy()
    abar = np.cumprod(1 - beta)
    x_0, x_t = normal(1, 1, 2, 2), normal(1, 1, 2, 2, seed=2)
    # q(x_(t-1) | x_0) and q(x_t | x_(t-1)), as a density of x_(t-1): precisions add up, means are weighted by them.
    prior, likelihood = 1 / (1 - abar[t - 1]), (1 - beta[t]) / beta[t]
    wanted = (prior * math.sqrt(abar[t - 1]) * x_0 + likelihood * x_t / math.sqrt(1 - beta[t])) / (prior + likelihood)
    mean, variance = model.q_posterior(x_0, x_t, torch.tensor([t]))
    torch.testing.assert_close(mean, wanted, rtol=1e-4, atol=1e-5)
    assert variance.item() == pytest.approx(1 / (prior + likelihood), rel=1e-4)


@pytest.mark.parametrize("t", [1, 5, T - 1])
def test_with_eta_1_a_step_is_ddpms(t: int) -> None:
    model, at = diffusion(), torch.tensor([t])
    x_0, eps, noise = normal(1, 1, 8, 8).clamp(-1, 1), normal(1, 1, 8, 8, seed=2), normal(1, 1, 8, 8, seed=3)
    x_t = model.q_sample(x_0, at, eps)
    mean, variance = model.q_posterior(x_0, x_t, at)
    found, shown = denoise(model, x_t, at, at - 1, eps, torch.ones(1), noise)
    torch.testing.assert_close(shown, x_0, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found, mean + variance.sqrt() * noise, rtol=1e-4, atol=1e-4)


def test_with_eta_0_noise_has_no_effect_and_the_last_step_gives_the_image() -> None:
    model, x, eps = diffusion(), normal(1, 1, 8, 8), normal(1, 1, 8, 8, seed=2)
    at, zero, one = torch.tensor([6]), torch.zeros(1), torch.ones(1)
    first, _ = denoise(model, x, at, torch.tensor([2]), eps, zero, normal(1, 1, 8, 8, seed=3))
    again, _ = denoise(model, x, at, torch.tensor([2]), eps, zero, normal(1, 1, 8, 8, seed=4))
    assert torch.equal(first, again)
    last, x_0 = denoise(model, x, at, torch.tensor([-1]), eps, one, normal(1, 1, 8, 8, seed=3))
    torch.testing.assert_close(last, x_0, rtol=0, atol=1e-6)
    assert x_0.abs().max() <= 1


def test_a_step_towards_noise_is_undone_by_the_step_back() -> None:
    model, x, eps = diffusion(), normal(1, 1, 8, 8).clamp(-0.5, 0.5), 0.1 * normal(1, 1, 8, 8, seed=2)
    near, far, nothing = torch.tensor([10]), torch.tensor([30]), torch.zeros(1, 1, 8, 8)
    away, _ = denoise(model, x, near, far, eps, torch.ones(1), nothing + 9)
    back, _ = denoise(model, away, far, near, eps, torch.zeros(1), nothing)
    torch.testing.assert_close(back, x, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_guidance_0_is_no_class_and_1_the_class_and_2_as_far_beyond() -> None:
    model, x, t = diffusion(), normal(3, 1, 8, 8), torch.tensor([3, 7, 99])
    label, none = torch.tensor([0, 2, 1]), torch.full((3,), 3)
    without, given = model(x, t, none), model(x, t, label)
    assert not torch.allclose(without, given, atol=1e-3)
    for guidance, wanted in ((0.0, without), (1.0, given), (2.0, 2 * given - without)):
        torch.testing.assert_close(model.guided(x, t, label, torch.full((3,), guidance)), wanted, rtol=1e-4, atol=1e-5)


def test_about_the_share_of_labels_is_dropped() -> None:
    label = torch.arange(3).repeat(1000)
    found = diffusion().drop_labels(label, torch.rand(3000, generator=torch.Generator().manual_seed(0)), 0.1)
    assert 200 < (found == 3).sum() < 400
    assert torch.equal(found[found != 3], label[found != 3])


@torch.no_grad()
def test_rows_of_other_steps_guidance_and_labels_share_a_step() -> None:
    step = DenoisingStep(diffusion(), margin=1)
    inputs = mixed(step)
    together = step(*inputs.values())
    for row in range(3):
        alone = step(*(tensor[row : row + 1] for tensor in inputs.values()))
        torch.testing.assert_close(alone[0], together[0][row : row + 1], rtol=1e-4, atol=1e-4)
        assert (alone[1].int() - together[1][row : row + 1].int()).abs().max() <= 1


def mixed(step: DenoisingStep) -> dict[str, Tensor]:
    """Three rows that differ in everything."""
    draw = torch.Generator().manual_seed(5)
    inputs = step.examples(3)
    for name in ("latent", "noise"):
        inputs[name] = torch.randn(inputs[name].shape, generator=draw)
    inputs["timestep"], inputs["previous"] = torch.tensor([T - 1, 60, 0]), torch.tensor([T - 2, 10, -1])
    inputs["eta"] = torch.tensor([1.0, 0.0, 0.5])
    inputs["known"] = torch.randint(256, inputs["known"].shape, generator=draw, dtype=torch.uint8)
    inputs["mask"] = torch.randint(2, inputs["mask"].shape, generator=draw, dtype=torch.uint8)
    inputs["mask"][1] = 0
    if "label" in inputs:
        inputs["label"], inputs["guidance"] = torch.tensor([2, 0, 1]), torch.tensor([0.0, 3.0, 1.0])
    return inputs


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_equal_seeds_give_equal_images_and_others_other_ones(steps: int) -> None:
    step = DenoisingStep(diffusion(schedule="cosine"), margin=1)
    first, again, other = (sample(step, 2, steps, seed, eta=torch.ones(2)) for seed in (1, 1, 2))
    assert first.shape == (2, 6, 6)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_what_is_known_is_kept_and_the_rest_is_drawn() -> None:
    step = DenoisingStep(diffusion(), margin=1)
    known = torch.randint(256, (2, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mask = torch.zeros(2, 6, 6, dtype=torch.uint8)
    mask[:, :3] = 255
    image = sample(step, 2, 6, 1, known=known, mask=mask)
    assert torch.equal(image[:, :3], known[:, :3])
    assert not torch.equal(image[:, 3:], known[:, 3:])


@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_timesteps_are_those_of_a_loops_schedule(steps: int) -> None:
    found = timesteps(1000, steps)
    for offset in (0, 1):
        schedule = np.rint(999 + (-1 - 999) * ((np.arange(steps) + offset) / steps))
        assert [pair[offset] for pair in found] == schedule.tolist()
    assert found[0][0] == 999
    assert found[-1][1] == -1
    assert all(t > previous for t, previous in found)


@pytest.mark.parametrize("steps", [0, 1001])
def test_more_steps_than_timesteps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps is {steps}; the model allows 1 to 1000"):
        timesteps(1000, steps)


@pytest.mark.fit
def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = Diffusion((1, 8, 8), widths=(8, 8), classes=2, timesteps=T)
    x_0 = torch.ones(8, 1, 8, 8)
    x_0[:, :, :4] = -1
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.01), []
    for _ in range(40):
        t, label = torch.randint(T, (8,)), torch.zeros(8, dtype=torch.int64)
        loss = model.loss(x_0, t, torch.randn_like(x_0), label).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(KeyError, match="no schedule 'sigmoid'; there are linear, cosine"):
        Diffusion((1, 8, 8), widths=(4, 8), schedule="sigmoid")
    with pytest.raises(ValueError, match="steps is 1; a schedule has at least 2"):
        Diffusion((1, 8, 8), widths=(4, 8), timesteps=1)
    with pytest.raises(ValueError, match=r"shape is \(1, 28, 28\); height and width must be multiples of 8"):
        Diffusion((1, 28, 28), widths=(4, 4, 4, 4))
    with pytest.raises(ValueError, match="label is missing; the network has 3 classes"):
        diffusion()(normal(1, 1, 8, 8), torch.tensor([0]))


@pytest.mark.export
@pytest.mark.parametrize(("classes", "channels"), [(3, 1), (0, 3)])
def test_a_step_under_onnx_runtime_is_torchs(classes: int, channels: int, tmp_path: Path) -> None:
    step = DenoisingStep(diffusion(classes, channels), margin=1)
    check_parity(step, step.examples(), mixed(step), tmp_path / "step.onnx")
