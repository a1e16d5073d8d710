"""Several networks that answer as one (I2DL VIII.2; Hansen and Salamon 1990)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of the members' probabilities, as logits: log of mean_m softmax(z_m).

    Their softmax is that mean, and a temperature can be applied to them as to any network's logits.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.log_count = math.log(len(members))  # computed here, because a tracer cannot take a proxy's length

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, C, H, W)."""
        each = torch.stack([torch.log_softmax(member(x), dim=1) for member in self.members])  # (M, B, classes)
        return torch.logsumexp(each, dim=0) - self.log_count
