"""What a recipe may switch in every convolutional family."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from models.classification.rows import build, find
from models.layers.activation import ACTIVATIONS, Maxout
from models.layers.activation_map import ClassActivationMaps
from models.layers.initialisation import INITIALISATIONS
from models.layers.normalisation import NORMALISATIONS
from models.variant import Variant
from tests.models.rows import CONVOLUTIONAL, GREY, each, images, takes, thin

FAMILIES = [variant for variant in GREY if variant in CONVOLUTIONAL]


def learns(variant: Variant, **options: object) -> nn.Module:
    """The row built so, thin, after a forward and a backward pass that reached every parameter."""
    torch.manual_seed(0)
    model = build(variant.name, {**thin(variant), "dropout": 0.0, **options})
    torch.autograd.backward(cross_entropy(model(images(variant, 4)), torch.arange(4)))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    return model


@each(FAMILIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_family_takes_every_activation(variant: Variant, activation: str) -> None:
    model = learns(variant, activation=activation)
    kind = type(ACTIVATIONS[activation]())
    assert any(isinstance(module, kind) for module in model.modules())
    others = tuple(type(make()) for name, make in ACTIVATIONS.items() if name != activation)
    assert not any(isinstance(module, others) for module in model.modules())


@each(FAMILIES)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_every_family_takes_every_normalisation(variant: Variant, normalisation: str) -> None:
    model = learns(variant, normalisation=normalisation)
    batch = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    group = [module for module in model.modules() if isinstance(module, nn.GroupNorm)]
    assert bool(batch) == (normalisation == "batch")
    assert bool(group) == (normalisation in ("layer", "instance", "group"))


@each(FAMILIES)
@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_every_family_takes_every_initialisation(variant: Variant, initialisation: str) -> None:
    learns(variant, initialisation=initialisation)


@each(FAMILIES)
def test_dropout_and_spatial_dropout_act_in_training_only(variant: Variant) -> None:
    x = images(variant, 2)
    for option, layer in (("dropout", nn.Dropout), ("spatial_dropout", nn.Dropout2d)):
        torch.manual_seed(0)
        model = build(variant.name, {"dropout": 0.0, "initialisation": "torch", option: 0.5})
        assert {module.p for module in model.modules() if isinstance(module, layer)} == {0.5}
        steady_norms(model)
        with torch.no_grad():
            assert not torch.equal(model(x), model(x)), option
            model.eval()
            assert torch.equal(model(x), model(x)), option


def steady_norms(model: nn.Module) -> None:
    """So that only dropout tells training from inference."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@each(FAMILIES)
def test_the_class_activation_maps_mean_the_logits(variant: Variant) -> None:
    torch.manual_seed(0)
    options = {"cam": True} if takes(variant, "cam") else {}
    model = build(variant.name, {**options, "initialisation": "torch"}).eval()
    x = images(variant, 2)
    logits, maps, features = ClassActivationMaps(model)(x)
    assert maps.shape[:2] == (2, 10)
    assert maps.shape[-1] >= 2
    torch.testing.assert_close(logits, model(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps.mean((2, 3)) + model.get_parameter("fc.bias"), logits)
    torch.testing.assert_close(model.get_submodule("fc")(features), logits, rtol=1e-4, atol=1e-5)


def test_a_network_without_average_pooling_has_no_class_activation_maps() -> None:
    with pytest.raises(TypeError, match="AlexNet does not end in average pooling"):
        ClassActivationMaps(build("alexnet-28"))


def test_maxout_doubles_the_filters_and_leaves_the_maps() -> None:
    plain, doubled = build("resnet20-28"), build("resnet20-28", {"activation": "maxout"})
    assert any(isinstance(module, Maxout) for module in doubled.modules())
    conv1, conv2 = (model.get_parameter("layer2.1.conv1.weight").shape for model in (plain, doubled))
    assert (conv1, conv2) == ((32, 32, 3, 3), (64, 32, 3, 3))
    x = images(find("resnet20-28"), 1)
    with torch.no_grad():
        assert ClassActivationMaps(plain)(x)[1].shape == ClassActivationMaps(doubled)(x)[1].shape


@pytest.mark.parametrize(
    ("name", "option", "known"),
    [
        ("vgg7-28", "activation", "gelu"),
        ("mlp", "activation", "gelu"),
        ("vgg7-28", "normalisation", "power"),
        ("vgg7-28", "initialisation", "orthogonal"),
        ("resnet20", "shortcut", "concatenation"),
        ("resnet20", "block", "dense"),
        ("neighbours", "distance", "cosine"),
    ],
)
def test_an_unknown_option_is_refused_with_those_there_are(name: str, option: str, known: str) -> None:
    with pytest.raises(KeyError, match=f"no {option} '{known}'; there are "):
        build(name, {option: known})
