"""A Transformer decoder with cached keys and values (I2DL XII.1; Vaswani et al. 2017, arXiv:1706.03762)."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from models.captioning.decoder import Decoder, Sentence, Start, Tensors, Word
from models.captioning.words import Words
from models.layers.initialisation import start_small

POSITION = "position"
POSITIONS = ("learnt", "sinusoidal")


def attend(query: Tensor, keys: Tensor, values: Tensor, heads: int, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
    """softmax(Q K' / sqrt(d)) V for each of ``heads`` parts of the vectors.

    ``query`` is (B, T, D), ``keys`` and ``values`` are (B, S, D); ``allowed``, broadcast to (B, heads, T, S), is the
    attention mask, True where attention is allowed.

    Returns:
        Contexts (B, T, D), and weights (B, heads, T, S).
    """
    # (B, T or S, D) -> (B, heads, T or S, d)
    q, k, v = (torch.unflatten(x, 2, (heads, -1)).transpose(1, 2) for x in (query, keys, values))
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])  # (B, heads, T, S)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    weights = torch.softmax(scores, 3)
    return (weights @ v).transpose(1, 2).flatten(2), weights  # (B, heads, T, d) -> (B, T, D)


class Block(nn.Module):
    """x + self-attention, then x + attention to the image, then x + two linear layers, each of a normalised x.

    The normalisation comes first (Xiong et al. 2020, arXiv:2002.04745), which trains without a warm-up.
    """

    def __init__(self, features: int, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.pair = nn.Linear(width, 2 * width)  # keys and values
        self.image_query, self.image_output = nn.Linear(width, width), nn.Linear(width, width)
        self.image_pair = nn.Linear(features, 2 * width)
        self.hidden = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def remember(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the words ``x``, (B, T, width) each."""
        keys, values = self.pair(self.norm1(x)).chunk(2, 2)
        return keys, values

    def see(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of ``features`` (B, L, D), (B, L, width) each."""
        keys, values = self.image_pair(features).chunk(2, 2)
        return keys, values

    def forward(
        self, x: Tensor, words: tuple[Tensor, Tensor], allowed: Tensor, image: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """``x`` (B, T, width) after the block, and its attention to the image, (B, T, L), the mean over heads."""
        context, _ = attend(self.query(self.norm1(x)), *words, self.heads, allowed)
        x = x + self.dropout(self.output(context))
        context, weights = attend(self.image_query(self.norm2(x)), *image, self.heads, None)
        x = x + self.dropout(self.image_output(context))
        x = x + self.dropout(self.hidden(self.norm3(x)))
        return x, weights.mean(1)


class TransformerDecoder(Decoder):
    """``layers`` blocks over the words so far; each caches the keys and values of ``length`` words.

    ``positions`` are ``learnt``, or ``sinusoidal`` as in the paper. The attention is that of the last block, a mean
    over its heads.

    Raises:
        KeyError: there are no such positions.
        ValueError: ``width`` isn't a multiple of ``heads``.
    """

    attends = True
    places: Tensor

    def __init__(
        self,
        features: int,
        vocabulary: int,
        length: int,
        *,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        hidden: int = 256,
        positions: str = "learnt",
        tied: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if positions not in POSITIONS:
            raise KeyError(f"no positions {positions!r}; there are {', '.join(POSITIONS)}")
        if width % heads:
            raise ValueError(f"width is {width}; it must be a multiple of heads, {heads}")
        self.length, self.width = length, width
        self.words = Words(vocabulary, width, tied=tied)
        if positions == "learnt":
            self.places = nn.Parameter(0.02 * torch.randn(length, width))
        else:
            self.register_buffer("places", sinusoids(length, width), persistent=False)
        self.blocks = nn.ModuleList(Block(features, width, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        if self.words.scores is not None:
            start_small(self.words.scores)  # their input is normalised to variance 1 from the first step on
        self.dropout = nn.Dropout(dropout)

    @property
    def fills(self) -> Mapping[str, int]:
        """All states are 0: there is no word yet."""
        cached = (name for number in range(1, len(self.blocks) + 1) for name in _cache(number))
        return {POSITION: 0, **dict.fromkeys(cached, 0)}

    def start(self, features: Tensor) -> Start:
        """Memory: each block's ``image_keys`` and ``image_values`` (B, L, width).

        State: the ``position`` (B,) int64 of the next word, and each block's ``keys`` and ``values`` of the words
        before it, (B, length, width).
        """
        rows = features.shape[0]
        memory: Tensors = {}
        state = {POSITION: features.new_zeros(rows, dtype=torch.int64)}
        for number, block in self._each():
            memory.update(zip(_image(number), block.see(features), strict=True))
            state.update({name: features.new_zeros(rows, self.length, self.width) for name in _cache(number)})
        return Start(memory, state)

    def step(self, token: Tensor, state: Tensors, memory: Tensors) -> Word:
        """See `Decoder`. There may be at most ``length`` steps."""
        position = state[POSITION]
        here = torch.arange(self.length, device=token.device) == position[:, None]  # (B, length)
        past = torch.arange(self.length, device=token.device) <= position[:, None]
        x = self.dropout(self.words(token) + self.places[position]).unsqueeze(1)  # (B, 1, width)
        after, weights = {POSITION: position + 1}, x
        for number, block in self._each():
            pairs = zip(_cache(number), block.remember(x), strict=True)
            # One position of the cache changes; the others stay unchanged.
            cache = {name: torch.where(here[:, :, None], new, state[name]) for name, new in pairs}
            words = (cache[_cache(number)[0]], cache[_cache(number)[1]])
            keys, values = _image(number)
            x, weights = block(x, words, past[:, None, None], (memory[keys], memory[values]))
            after |= cache
        return Word(self.words.score(self.norm(x)).squeeze(1), after, weights.squeeze(1))

    def forward(self, tokens: Tensor, features: Tensor) -> Sentence:
        """See `Decoder`.

        Raises:
            ValueError: there are more than ``length`` words.
        """
        steps = tokens.shape[1]
        if steps > self.length:
            raise ValueError(f"there are {steps} words; the decoder allows at most {self.length}")
        causal = torch.ones(steps, steps, dtype=torch.bool, device=tokens.device).tril()  # (T, T)
        x = self.dropout(self.words(tokens) + self.places[:steps])  # (B, T, width)
        weights = x
        for _, block in self._each():
            x, weights = block(x, block.remember(x), causal, block.see(features))
        return Sentence(self.words.score(self.norm(x)), weights)

    def _each(self) -> Iterator[tuple[int, Block]]:
        for number, block in enumerate(self.blocks, 1):
            assert isinstance(block, Block)
            yield number, block


def sinusoids(length: int, width: int) -> Tensor:
    """Positions as sines and cosines (length, width) of wavelengths from 2 pi to 20,000 pi (section 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))  # (width / 2,)
    angles = torch.arange(length)[:, None] * rates  # (length, width / 2)
    return torch.stack((angles.sin(), angles.cos()), 2).flatten(1)[:, :width]


def _cache(number: int) -> tuple[str, str]:
    return f"keys{number}", f"values{number}"


def _image(number: int) -> tuple[str, str]:
    return f"image_keys{number}", f"image_values{number}"
