"""The size of a network: parameters and multiply-accumulates."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """The number of trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def count_macs(model: nn.Module, *inputs: Tensor) -> int:
    """The multiply-accumulates of the convolutions and matrix products for ``inputs``."""
    counter = FlopCounterMode(display=False)
    with counter:
        model(*inputs)
    return int(counter.get_total_flops()) // 2  # a multiply-accumulate is two operations there
