"""Batch normalisation folded into the convolution before it: after training both are one linear map."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_normalisation(model: nn.Module, method: str = "forward") -> nn.Module:
    """A copy of ``model``, for inference, whose convolutions do the batch normalisation that follows them.

    ``method`` is what runs them. W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta. Only what follows a
    convolution at once and alone is folded: other batch normalisation stays.
    """
    folded = deepcopy(model).eval()
    for convolution, normalisation in list(_pairs(folded, method)):
        before, after = folded.get_submodule(convolution), folded.get_submodule(normalisation)
        assert isinstance(before, nn.Conv2d)
        assert isinstance(after, nn.BatchNorm2d)
        folded.set_submodule(convolution, fuse_conv_bn_eval(before, after))
        folded.set_submodule(normalisation, nn.Identity())
    return folded


def _pairs(model: nn.Module, method: str) -> Iterator[tuple[str, str]]:
    """The names of each convolution that nothing but a batch normalisation reads, and of that."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return  # nothing to trace for: not every model can be
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
