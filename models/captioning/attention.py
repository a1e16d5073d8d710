"""An LSTM that looks at a part of the image for each word (I2DL XII.1; Xu et al. 2015, arXiv:1502.03044)."""

import torch
from torch import Tensor, nn

from models.captioning.decoder import Decoder, Sentence, Start, Tensors, Word
from models.captioning.words import Words
from models.layers.cell import LSTMCell

KEYS, FEATURES = "keys", "features"


class AttentionDecoder(Decoder):
    """Show, Attend and Tell with soft attention; E y is the vector of the word before, a_i one of the L features.

    | start    C_0 = tanh(theta_c mean(a)), h_0 = tanh(theta_s mean(a))
    | weights  alpha_t = softmax_i(v . tanh(theta_a a_i + theta_q h_(t-1)))
    | context  z_t = beta_t * sum_i alpha_ti a_i, beta_t = sigm(theta_b h_(t-1))
    | state    h_t, C_t = LSTM([E y_(t-1), z_t], h_(t-1), C_(t-1))
    | output   p(y_t) ~ exp(theta_o tanh(E y_(t-1) + theta_l h_t + theta_z z_t))

    theta_a a_i is the same at every step, so it belongs to the memory. ``attention`` is the number of units of theta_a
    and theta_q. The tanh of the output is from the authors' code.
    """

    attends = True

    def __init__(
        self,
        features: int,
        vocabulary: int,
        length: int,
        *,
        width: int = 128,
        hidden: int = 256,
        attention: int = 128,
        tied: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.words = Words(vocabulary, width, tied=tied)
        self.first_h, self.first_c = nn.Linear(features, hidden), nn.Linear(features, hidden)
        self.key = nn.Linear(features, attention)
        self.query = nn.Linear(hidden, attention, bias=False)
        self.energy = nn.Linear(attention, 1, bias=False)  # a bias would not change the softmax
        self.gate = nn.Linear(hidden, 1)
        self.cell = LSTMCell(width, hidden)
        self.context = nn.Linear(features, len(LSTMCell.gates) * hidden, bias=False)  # theta_x's part for z
        self.output_h, self.output_z = nn.Linear(hidden, width), nn.Linear(features, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def start(self, features: Tensor) -> Start:
        """Memory: ``keys`` (B, L, attention) and ``features`` (B, L, D); state: ``h`` and ``c`` (B, hidden)."""
        mean = features.mean(1)  # (B, L, D) -> (B, D)
        state = {"h": torch.tanh(self.first_h(mean)), "c": torch.tanh(self.first_c(mean))}
        return Start({KEYS: self.key(features), FEATURES: features}, state)

    def step(self, token: Tensor, state: Tensors, memory: Tensors) -> Word:
        """See `Decoder`."""
        vector = self.dropout(self.words(token))  # (B, width)
        h, c, z, alpha = self._advance(self.cell.project(vector), state["h"], state["c"], memory)
        return Word(self._score(vector, h, z), {"h": h, "c": c}, alpha)

    def forward(self, tokens: Tensor, features: Tensor) -> Sentence:
        """See `Decoder`."""
        memory, state = self.start(features)
        vectors = self.dropout(self.words(tokens))  # (B, T, width)
        h, c = state["h"], state["c"]
        steps = []
        for projected in self.cell.project(vectors).unbind(1):  # (B, T, 4 hidden) -> T times (B, 4 hidden)
            h, c, z, alpha = self._advance(projected, h, c, memory)
            steps.append((h, z, alpha))
        hs, zs, alphas = (torch.stack(each, 1) for each in zip(*steps, strict=True))  # (B, T, ...)
        return Sentence(self._score(vectors, hs, zs), alphas)

    def _advance(
        self, projected: Tensor, h: Tensor, c: Tensor, memory: Tensors
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """h_t, C_t, z_t and alpha_t."""
        compared = torch.tanh(memory[KEYS] + self.query(h).unsqueeze(1))  # (B, L, attention)
        alpha = torch.softmax(self.energy(compared).squeeze(2), 1)  # (B, L)
        seen = (alpha.unsqueeze(1) @ memory[FEATURES]).squeeze(1)  # (B, 1, L) @ (B, L, D) -> (B, D)
        z = torch.sigmoid(self.gate(h)) * seen
        h, c = self.cell(projected + self.context(z), (h, c))
        return h, c, z, alpha

    def _score(self, vector: Tensor, h: Tensor, z: Tensor) -> Tensor:
        deep = torch.tanh(vector + self.output_h(self.dropout(h)) + self.output_z(z))  # (..., width)
        return self.words.score(self.dropout(deep))


def doubly_stochastic(attention: Tensor, real: Tensor) -> Tensor:
    """The penalty sum_i (1 - sum_t alpha_ti)^2, a mean over rows, which makes the decoder look at the whole image.

    Only the words of ``attention`` (B, T, L) that ``real`` (B, T) marks count (Xu et al. 2015, section 4.2.1).
    """
    seen = (attention * real.unsqueeze(2)).sum(1)  # (B, T, L) -> (B, L)
    return (1 - seen).square().sum(1).mean()
