"""Noise on the input, the hidden units and the weights as a regulariser (DL 11.5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.layers.activation import ACTIVATIONS
from training.craft.penalty import penalised
from training.craft.table import NonNegative, Table
from training.errors import RecipeError

HIDDEN = tuple({type(make()) for make in ACTIVATIONS.values()})


class Noise(Table):
    """Standard deviations of the normal noise that is added in training.

    ``input`` is in standard deviations of the training pixels. ``hidden`` applies to the output of each activation.
    ``weights`` applies to all weights except biases and other vectors: the gradient is that of the noisy weights, and
    the step moves the weights without noise.
    """

    input: NonNegative = 0.0
    hidden: NonNegative = 0.0
    weights: NonNegative = 0.0


def perturbed(model: nn.Module, images: Tensor, how: Noise) -> Any:
    """The output of ``model`` for normalised ``images`` (B, C, H, W) under noise.

    The noise is drawn from torch's global generators, as dropout's masks are, so seeding them determines it.

    Raises:
        RecipeError: ``how`` has noise on hidden units, and the model has none.
    """
    noisy = _noisy(images, how.input)
    with _hidden(model, how.hidden):
        if not how.weights:
            return model(noisy)
        trained = {id(weight) for weight in penalised(model)}
        named = {name: value for name, value in model.named_parameters() if id(value) in trained}
        return functional_call(model, {name: _noisy(value, how.weights) for name, value in named.items()}, (noisy,))


@contextmanager
def _hidden(model: nn.Module, deviation: float) -> Iterator[None]:
    layers = [module for module in model.modules() if isinstance(module, HIDDEN)] if deviation else []
    if deviation and not layers:
        raise RecipeError(f"noise.hidden is {deviation:g}; the model has no hidden units, so it must be 0")
    handles = [layer.register_forward_hook(lambda *call: _noisy(call[2], deviation)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _noisy(values: Tensor, deviation: float) -> Tensor:
    return values + deviation * torch.randn_like(values) if deviation else values
