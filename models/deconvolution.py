"""Deconvolution: what in an image drives a map (CV V; DL 17; Zeiler and Fergus 2013, arXiv:1311.2901)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from models.layers.activation import ACTIVATIONS
from models.layers.descent import FUNCTIONS, LAYERS, Descent

STRONGEST = 4  # maps shown of a layer
LEVELS = 100_000  # steps of activation, up to the largest, that are distinguished
ACTIVATES = tuple(ACTIVATIONS.values())
FOLLOWS = (nn.BatchNorm2d, nn.GroupNorm, nn.Identity, *ACTIVATES)


class Deconvolution(nn.Module):
    """Projects the ``strongest`` maps of a layer of ``network`` back to the pixels that drive them.

    Only the largest activation of each of these maps is kept; it is projected down through the layers as
    `models.layers.descent` says. In a network with branches, the signal goes down all of them, and signals that meet
    are summed.

    ``layers`` names the layers that can be requested, the nearest to the image first. In a plain sequence (AlexNet,
    VGG, Xception's stem) these are the convolutions, ``conv1``, ``conv2`` and so on; elsewhere they are the submodules
    that contain convolutions, by their own names: LeNet-5's ``c1`` and ``c3``, ResNet's ``conv1`` and ``layer1`` to
    ``layer4``, GoogLeNet's ``inception3a`` to ``inception5b``, Xception's ``entry``, ``middle`` and ``exit``. A layer's
    maps are those after the normalisation and the activation that follow it, before any pooling.

    The module shares the network's parameters, and is for inference. If a layer has fewer maps than ``strongest``, that
    number is shown of every layer.

    Raises:
        TypeError: the network has no convolutions of its own, or a layer below the last one cannot be reversed.
    """

    def __init__(self, network: nn.Module, strongest: int = STRONGEST) -> None:
        super().__init__()
        self.network = network.eval()
        self.strongest = strongest
        graph = _Tracer().trace(network)
        self._tops = _find_layers(network, graph)
        if not self._tops:
            raise TypeError(f"{type(network).__name__} has no convolutions of its own to reverse")
        self._nodes = _below(graph, self._tops.values())
        for node in self._nodes:
            if not self._has_way_back(node):
                raise TypeError(f"{type(network).__name__}: {node.target} cannot be reversed")

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, the nearest to the image first."""
        return tuple(self._tops)

    def forward(self, x: Tensor, layer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What drives the K strongest maps of ``layer`` (B,), each an index into ``layers``, in images (B, C, H, W).

        Returns:
            Reconstructions (B, K, C, H, W) in the units of ``x``; maps (B, K), the indices of the layer's maps; and
            strengths (B, K), their largest activations, in descending order.
        """
        values, descents = self._climb(x)
        tops = [values[node] for node in self._tops.values()]
        count = min(self.strongest, *(top.shape[1] for top in tops))
        seeds, maps, strengths = zip(*(strongest(top, count) for top in tops), strict=True)
        asked = [(layer == number).to(x.dtype)[:, None, None, None, None] for number in range(len(tops))]
        sown = {node: seed * wanted for node, seed, wanted in zip(self._tops.values(), seeds, asked, strict=True)}
        place = layer[:, None, None].expand(-1, 1, count)  # (B, 1, K)
        which, strength = (torch.stack(each, 1).gather(1, place).squeeze(1) for each in (maps, strengths))  # (B, K)
        return self._descend(sown, descents), which, strength

    def _climb(self, x: Tensor) -> tuple[dict[fx.Node, Tensor], dict[fx.Node, Descent]]:
        """The output of every node, and its descent."""
        values: dict[fx.Node, Any] = {}
        descents: dict[fx.Node, Descent] = {}
        for node in self._nodes:
            if node.op == "placeholder":
                values[node] = x
                continue
            inputs = fx.node.map_arg(node.args, values.__getitem__)
            if node.op == "call_module":
                layer = self.network.get_submodule(str(node.target))
                values[node], descents[node] = LAYERS[type(layer)](layer, *inputs)
            else:
                values[node], descents[node] = FUNCTIONS[node.target](*inputs, **node.kwargs)
        return values, descents

    def _descend(self, signals: dict[fx.Node, Tensor], descents: Mapping[fx.Node, Descent]) -> Tensor:
        """Project ``signals`` (B, K, C, h, w), given at some of the nodes, down to the image."""
        for node in reversed(self._nodes[1:]):
            for below, signal in zip(node.all_input_nodes, descents[node](signals.pop(node)), strict=True):
                signals[below] = signals[below] + signal if below in signals else signal
        return signals[self._nodes[0]]

    def _has_way_back(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return type(self.network.get_submodule(str(node.target))) in LAYERS
        return node.op == "placeholder" or node.target in FUNCTIONS


def strongest(maps: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``count`` maps of (B, C, h, w) with the largest activation, in descending order.

    Activations are compared to five digits of the largest, and the first of equals comes first: if many saturate at one
    value, as LeNet-5's do, rounding would otherwise decide, and differently on each processor.

    Returns:
        Seeds (B, count, C, h, w), 0 except for the largest activation of one map; the indices of these maps (B, count);
        and their activations (B, count).
    """
    activations = maps.flatten(2)  # (B, C, h w)
    unit = activations.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny) / LEVELS  # (B, 1, 1)
    levels = (activations / unit).round()
    places = levels.argmax(2)  # (B, C)
    chosen = _largest(levels.amax(2), count)  # (B, count)
    strengths = activations.gather(2, places[:, :, None]).squeeze(2).gather(1, chosen)  # (B, count)
    side = maps.shape[2] * maps.shape[3]
    places = chosen * side + places.gather(1, chosen)  # (B, count), in C h w
    empty = maps.new_zeros(maps.shape[0], count, maps.shape[1] * side)
    seeds = empty.scatter(2, places.unsqueeze(2), strengths.unsqueeze(2))
    return seeds.reshape(-1, count, *maps.shape[1:]), chosen, strengths


def _largest(peaks: Tensor, count: int) -> Tensor:
    """The indices (B, count) of the largest in each row, the first of equals first, which top-k does not guarantee."""
    places: list[Tensor] = []
    for _ in range(count):
        places.append(peaks.argmax(1, keepdim=True))  # (B, 1)
        peaks = peaks.scatter(1, places[-1], -torch.inf)
    return torch.cat(places, 1)


class _Tracer(fx.Tracer):
    """Traces into every module that has no descent of its own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)


def _find_layers(network: nn.Module, graph: fx.Graph) -> dict[str, fx.Node]:
    """The name of each layer, and the node whose output is its maps."""
    names = _name_layers(network)
    ends: dict[str, fx.Node] = {}
    for node in graph.nodes:
        path = _scope(node)
        for prefix, name in names.items():
            if path == prefix or path.startswith(f"{prefix}."):
                ends[name] = node
    return {name: _activated(network, node) for name, node in ends.items()}


def _name_layers(network: nn.Module) -> dict[str, str]:
    """The path of each layer's submodule, and its name."""
    names: dict[str, str] = {}
    number = 0
    for path, child in network.named_children():
        plain = [place for place, part in child.named_children() if isinstance(part, nn.Conv2d)]
        if isinstance(child, nn.Sequential) and plain:
            names |= {f"{path}.{place}": f"conv{number + step}" for step, place in enumerate(plain, 1)}
            number += len(plain)
        elif not isinstance(child, nn.ModuleList) and any(isinstance(part, nn.Conv2d) for part in child.modules()):
            names[path] = path
    return names


def _scope(node: fx.Node) -> str:
    """The path of the submodule that ``node`` belongs to; empty if it is the network's own."""
    if node.op == "call_module":
        return str(node.target)
    stack: dict[str, Any] = node.meta.get("nn_module_stack", {"": None})
    return next(reversed(stack))


def _activated(network: nn.Module, node: fx.Node) -> fx.Node:
    """The last node of the normalisation and activation that follow ``node``, if nothing else reads it."""
    while len(node.users) == 1 and not _is(network, node, ACTIVATES) and _is(network, next(iter(node.users)), FOLLOWS):
        node = next(iter(node.users))
    return node


def _is(network: nn.Module, node: fx.Node, kinds: tuple[type[nn.Module], ...]) -> bool:
    return node.op == "call_module" and isinstance(network.get_submodule(str(node.target)), kinds)


def _below(graph: fx.Graph, tops: Iterable[fx.Node]) -> list[fx.Node]:
    """The nodes that ``tops`` depend on, including themselves, from the image up."""
    wanted = set(tops)
    for node in reversed(graph.nodes):
        if node in wanted:
            wanted.update(node.all_input_nodes)
    return [node for node in graph.nodes if node in wanted]
