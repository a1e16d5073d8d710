import pytest
import torch
from torch import Tensor, nn

from models.classification.rows import build
from models.layers.activation import ACTIVATIONS
from training.craft.noise import Noise, perturbed
from training.errors import RecipeError

KINDS = [Noise(input=0.1), Noise(hidden=0.1), Noise(weights=0.1)]
every_kind = pytest.mark.parametrize("how", KINDS, ids=["input", "hidden", "weights"])


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return build("mlp", {"hidden": (32, 32)})


@pytest.fixture
def images() -> Tensor:
    return torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def seeded(model: nn.Module, images: Tensor, how: Noise, seed: int = 5) -> Tensor:
    torch.manual_seed(seed)
    answer: Tensor = perturbed(model, images, how)
    return answer


def test_no_noise_is_the_model_itself(model: nn.Module, images: Tensor) -> None:
    before = torch.random.get_rng_state()
    assert torch.equal(perturbed(model, images, Noise()), model(images))
    assert torch.equal(torch.random.get_rng_state(), before)


@every_kind
def test_the_seed_alone_decides(model: nn.Module, images: Tensor, how: Noise) -> None:
    one = seeded(model, images, how)
    assert torch.equal(one, seeded(model, images, how))
    assert not torch.equal(one, seeded(model, images, how, seed=6))
    assert not torch.equal(one, model(images))


@every_kind
def test_the_model_is_afterwards_as_it_was(model: nn.Module, images: Tensor, how: Noise) -> None:
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    answer = model(images)
    seeded(model, images, how)
    assert torch.equal(model(images), answer)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_noise_on_the_input_has_its_deviation_for_every_pixel_of_its_own(images: Tensor) -> None:
    found = seeded(nn.Identity(), torch.zeros(64, 1, 28, 28), Noise(input=0.3))
    assert found.std() == pytest.approx(0.3, rel=0.02)
    assert found.mean() == pytest.approx(0, abs=0.005)
    assert len(set(found.flatten().tolist())) > 0.9 * found.numel()


def test_noise_on_the_weights_is_the_same_for_the_whole_batch_and_spares_biases() -> None:
    layer = nn.Linear(500, 400)
    nn.init.zeros_(layer.weight)
    found = (
        seeded(layer, torch.eye(500), Noise(weights=0.2)).detach() - layer.bias.detach()
    )  # (500, 400): the noisy weights themselves
    assert found.std() == pytest.approx(0.2, rel=0.02)
    silent = seeded(layer, torch.zeros(2, 500), Noise(weights=0.2))
    assert torch.equal(silent, layer.bias.expand(2, -1))


def test_the_step_is_taken_with_the_noisy_weights_and_moves_those_without_noise() -> None:
    layer, x = nn.Linear(3, 1, bias=False), torch.tensor([[1.0, 2.0, 3.0]])
    torch.manual_seed(5)
    noise = 0.2 * torch.randn_like(layer.weight)
    torch.autograd.backward(seeded(layer, x, Noise(weights=0.2)).square().sum() / 2)
    noisy = layer.weight.detach() + noise
    torch.testing.assert_close(layer.weight.grad, (noisy * x).sum() * x)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_noise_on_hidden_units_is_added_to_what_each_activation_answers(name: str, images: Tensor) -> None:
    model = build("mlp", {"hidden": (64,), "activation": name})
    scores = model.get_submodule("scores")
    assert isinstance(scores, nn.Linear)
    heard: list[Tensor] = []
    scores.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0].detach()))
    model(images)
    seeded(model, images, Noise(hidden=0.5))
    assert (heard[1] - heard[0]).std() == pytest.approx(0.5, rel=0.15)


def test_noise_on_hidden_units_reaches_every_layer_but_the_input(images: Tensor) -> None:
    model = build("lenet5", {"activation": "relu"})
    negative: list[bool] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_pre_hook(lambda module, given: negative.append(bool((given[0] < 0).any())))
    perturbed(model, images.abs(), Noise(hidden=0.1))
    # What a rectifier answers is negative under noise alone.
    assert negative == [False, True, True, True, True]


def test_a_model_without_hidden_units_is_refused_noise_on_them(images: Tensor) -> None:
    with pytest.raises(RecipeError, match="no hidden units"):
        perturbed(build("softmax"), images, Noise(hidden=0.1))


def test_an_error_in_the_model_leaves_no_noise_behind(model: nn.Module, images: Tensor) -> None:
    with pytest.raises(RuntimeError):
        perturbed(model, images[..., :5], Noise(hidden=0.1))
    assert torch.equal(model(images), model(images))


def test_batch_norm_goes_on_counting_under_noise_on_the_weights() -> None:
    model = build("resnet20").train()
    seeded(model, torch.randn(4, 3, 32, 32), Noise(weights=0.01))
    assert int(model.get_buffer("bn1.num_batches_tracked")) == 1
