"""Real digits for the tests of generative networks."""

import torch
from torch import Tensor

from tests.training.tiny import digits


def grey(rows: int) -> Tensor:
    """The first ``rows`` of 300 digits, (rows, 1, 28, 28) in 0..1."""
    return torch.from_numpy(digits()[0][:rows, None]).to(torch.float32) / 255


def small(rows: int) -> Tensor:
    """The digits at a quarter of their size, (rows, 1, 7, 7): few enough pixels for a full covariance."""
    return torch.nn.functional.avg_pool2d(grey(rows), 4)


def binary(rows: int) -> Tensor:
    """The digits as pixels of 0 and 1, drawn from their grey values."""
    return torch.bernoulli(grey(rows), generator=draw())


def classes(rows: int) -> Tensor:
    """The digits' classes (rows,), int64."""
    return torch.from_numpy(digits()[1][:rows])


def draw(seed: int = 0) -> torch.Generator:
    """A generator of that seed."""
    return torch.Generator().manual_seed(seed)
