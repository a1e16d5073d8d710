"""Several networks that answer as one (I2DL VIII.2; Hansen and Salamon 1990)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of the members' probabilities, as logits: log of mean_m softmax(z_m).

    Their softmax is that mean again, and can be given a temperature as any network's.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.log_count = math.log(len(members))  # here, for a tracer cannot take the length of its stand-in

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, C, H, W)."""
        each = torch.stack([torch.log_softmax(member(x), dim=1) for member in self.members])  # (M, B, classes)
        return torch.logsumexp(each, dim=0) - self.log_count
