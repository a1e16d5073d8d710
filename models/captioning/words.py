"""Words as vectors: looked up at a decoder's input, scored at its output."""

import math

from torch import Tensor, nn
from torch.nn.functional import linear


class Words(nn.Module):
    """A vector of ``width`` for each of ``vocabulary`` words.

    If ``tied``, the same vectors score the output (Press and Wolf 2017, arXiv:1608.05859), which halves the parameters
    of a large vocabulary; otherwise the scores have weights of their own.
    """

    def __init__(self, vocabulary: int, width: int, *, tied: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(width))
        self.scale = math.sqrt(width)  # gives tied vectors of length 1 the variance 1 as inputs
        self.bias = nn.Parameter(self.embedding.weight.new_zeros(vocabulary))
        self.scores = None if tied else nn.Linear(width, vocabulary, bias=False)
        if self.scores is not None:
            nn.init.normal_(self.scores.weight, std=1 / math.sqrt(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """The vectors of ``tokens``, (...) int64 -> (..., width)."""
        vectors: Tensor = self.embedding(tokens) * self.scale
        return vectors

    def score(self, x: Tensor) -> Tensor:
        """Logits of every word, (..., width) -> (..., vocabulary)."""
        return linear(x, (self.scores or self.embedding).weight, self.bias)
