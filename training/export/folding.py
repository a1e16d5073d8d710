"""Folds batch normalisation into the convolution before it, since both are linear after training; and unfolds it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_normalisation(model: nn.Module, method: str = "forward") -> nn.Module:
    """A copy of ``model``, for inference, whose convolutions include the batch normalisation that follows them.

    ``method`` is the method that runs them. W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta. Only batch
    normalisation that directly follows a convolution, as the only reader of its output, is folded.
    """
    folded = deepcopy(model).eval()
    for convolution, normalisation in list(_pairs(folded, method)):
        before, after = folded.get_submodule(convolution), folded.get_submodule(normalisation)
        assert isinstance(before, nn.Conv2d)
        assert isinstance(after, nn.BatchNorm2d)
        folded.set_submodule(convolution, fuse_conv_bn_eval(before, after))
        folded.set_submodule(normalisation, nn.Identity())
    return folded


def unfold_normalisation(
    found: Mapping[str, Tensor], model: nn.Module, method: str = "forward"
) -> tuple[dict[str, Tensor], list[nn.BatchNorm2d]]:
    """The folded weights ``found`` for ``model``, whose convolutions and batch normalisation are separate.

    The original weights cannot be recovered, so a convolution keeps W' and its normalisation only adds b': mean 0,
    variance 1, g = sqrt(1 + eps), beta = b'. In inference the answers are the same. Before training, call
    `measure_statistics` on the layers that are returned.
    """
    values, layers = dict(found), []
    for convolution, normalisation in _pairs(model, method):
        if f"{convolution}.bias" not in values or f"{normalisation}.weight" in values:
            continue
        before, after = model.get_submodule(convolution), model.get_submodule(normalisation)
        assert isinstance(before, nn.Conv2d)
        assert isinstance(after, nn.BatchNorm2d)
        bias = values.pop(f"{convolution}.bias")
        if before.bias is not None:
            values[f"{convolution}.bias"] = torch.zeros_like(bias)
        values[f"{normalisation}.weight"] = torch.full_like(bias, 1 + after.eps).sqrt()
        values[f"{normalisation}.bias"] = bias
        values[f"{normalisation}.running_mean"] = torch.zeros_like(bias)
        values[f"{normalisation}.running_var"] = torch.ones_like(bias)
        layers.append(after)
    return values, layers


@torch.no_grad()
def measure_statistics(
    model: nn.Module, layers: Sequence[nn.BatchNorm2d], forward: Callable[[Tensor], Any], batches: Iterable[Tensor]
) -> None:
    """Set the means and variances of ``layers`` of ``model`` from their inputs while ``forward`` runs ``batches``.

    Their weights and biases are adjusted so that in inference the answers stay the same, and in training, where each
    batch has its own statistics, approximately so.
    """
    modes = {module: module.training for module in model.modules()}
    seen: dict[nn.BatchNorm2d, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}

    def look(layer: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        (x,) = inputs  # (B, C, H, W)
        seen[layer].append((x.mean((0, 2, 3)), x.square().mean((0, 2, 3))))

    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    model.eval()
    try:
        for batch in batches:
            forward(batch)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    for layer, moments in seen.items():
        mean, square = (torch.stack(each).mean(0) for each in zip(*moments, strict=True))
        _set_statistics(layer, mean, (square - mean.square()).clamp(min=0))


def _set_statistics(layer: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """g' = g sqrt(v' + eps) / sqrt(v + eps), beta' = beta + (m' - m) g / sqrt(v + eps)."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    slope = layer.weight / (layer.running_var + layer.eps).sqrt()
    layer.bias.add_((mean - layer.running_mean) * slope)
    layer.weight.copy_(slope * (variance + layer.eps).sqrt())
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)


def _pairs(model: nn.Module, method: str) -> Iterator[tuple[str, str]]:
    """The names of each convolution whose output only a batch normalisation reads, and of that normalisation."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return  # not traced in vain: not every model can be traced
    tracer = fx.Tracer()
    tracer.traced_func_name = method
    calls = [node for node in tracer.trace(model).nodes if node.op == "call_module"]
    times = Counter(node.target for node in calls)
    for node in calls:
        before = node.args[0]
        if not isinstance(model.get_submodule(node.target), nn.BatchNorm2d) or before.op != "call_module":
            continue
        alone = len(before.users) == 1 and times[node.target] == times[before.target] == 1
        if alone and isinstance(model.get_submodule(before.target), nn.Conv2d):
            yield before.target, node.target
