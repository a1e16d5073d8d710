"""The rows of the model table, sorted by what a test can afford, and images for them."""

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from models.classification.alexnet import AlexNet
from models.classification.googlenet import GoogLeNet
from models.classification.lenet5 import LeNet5
from models.classification.neighbours import NearestNeighbours
from models.classification.resnet import ResNet
from models.classification.rows import VARIANTS, build
from models.classification.vgg import VGG
from models.classification.xception import Xception
from models.variant import Variant

EVERY = list(VARIANTS.values())
SMALL = [variant for variant in EVERY if variant.input_shape[-1] <= 32]
LARGE = [variant for variant in EVERY if variant not in SMALL]
GREY = [variant for variant in SMALL if variant.input_shape[0] == 1]  # at least one of every family
FAMILIES = list({variant.family: variant for variant in reversed(SMALL)}.values())  # the first row of each
CONVOLUTIONAL = [variant for variant in EVERY if variant.receptive_field]


def each(variants: list[Variant]) -> pytest.MarkDecorator:
    """A test for each of ``variants``."""
    return pytest.mark.parametrize("variant", variants, ids=[variant.name for variant in variants])


def images(variant: Variant, rows: int) -> torch.Tensor:
    return torch.randn(rows, *variant.input_shape, generator=torch.Generator().manual_seed(0))


def steady(variant: Variant) -> dict[str, Any]:
    """The row without dropout, so that training answers what it would answer again."""
    return {"dropout": 0.0} if takes(variant, "dropout") else {}


def takes(variant: Variant, option: str) -> bool:
    return option in inspect.signature(variant.family).parameters


def seasoned(variant: Variant) -> nn.Module:
    """The row's model for inference as training might leave it: averages of its activations, classes far apart."""
    torch.manual_seed(0)
    model, x = build(variant.name), images(variant, 16)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, NearestNeighbours):
            rows = len(module.images)
            module.remember(torch.randn(rows, *variant.input_shape), torch.arange(rows) % module.classes)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for scores in linear[-1:]:
        nn.init.xavier_normal_(scores.weight)
    with torch.no_grad():
        model(x)
    return model.eval()


def thin(variant: Variant) -> dict[str, Any]:
    """The row's depth, kernels and strides at almost no width, so that even a deep one runs in no time."""
    config = variant.config
    if variant.family is LeNet5:
        return {}
    if variant.family is AlexNet:
        return {"widths": (4, 4, 4, 4, 4), "hidden": 8}
    if variant.family is VGG:
        return {"widths": [[4] * len(stage) for stage in config["widths"]], "hidden": 8}
    if variant.family is ResNet:
        return {"widths": [4] * len(config["widths"])}
    if variant.family is GoogLeNet:
        return {"scale": 1 / 16}
    assert variant.family is Xception
    return {"stem": (4, 4), "entry_flow": [4] * len(config.get("entry_flow", "abc")), "exit_flow": (4, 4, 4)}
