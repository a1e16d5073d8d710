"""The receptive field: the part of the image that a unit sees (I2DL IX.3-5; MP 5)."""

from dataclasses import dataclass
from typing import Any

from torch import fx, nn

Size = int | tuple[int, ...]


def geometry(layer: nn.Module) -> tuple[int, int, int, int]:
    """Kernel F, stride S, padding P and dilation of a convolution or pooling ``layer``, all square."""
    kernel, stride, padding, dilation = (
        first(getattr(layer, name, default))
        for name, default in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
    )
    return kernel, stride, padding, dilation


def first(size: Any) -> int:
    """The side of a square ``size``, which torch keeps as one number or as two."""
    return int(size[0] if isinstance(size, tuple) else size)


@dataclass(frozen=True)
class Field:
    """The side of the square that a unit sees, and the distance of the squares of two neighbouring units (pixels)."""

    side: int = 1
    step: int = 1

    def through(self, layer: nn.Module) -> "Field":
        """The field after ``layer``: r_k = r_(k-1) + (f_k - 1) prod_(i<k) s_i."""
        kernel, stride, _, dilation = geometry(layer)
        return Field(self.side + dilation * (kernel - 1) * self.step, self.step * stride)


def receptive_fields(network: nn.Module) -> dict[str, Field]:
    """The field of the units of every convolution and pooling layer of ``network``, by its name.

    Where branches meet, a unit sees the largest of their squares, all of which have the same centre. Layers after an
    average over the whole maps see the whole image and are left out.
    """
    fields: dict[fx.Node, Field] = {}
    layers: dict[str, Field] = {}
    for node in fx.Tracer().trace(network).nodes:
        inputs = [fields[above] for above in node.all_input_nodes if above in fields]
        layer = network.get_submodule(node.target) if node.op == "call_module" else None
        if node.op == "placeholder":
            fields[node] = Field()
        elif inputs and not isinstance(layer, nn.AdaptiveAvgPool2d):
            fields[node] = max(inputs, key=lambda field: field.side)
            if layer is not None and hasattr(layer, "kernel_size"):
                fields[node] = layers[node.target] = fields[node].through(layer)
    return layers
