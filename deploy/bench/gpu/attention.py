"""A caption decoder with attention and random weights, as a package: a step reads more than it writes.

Xu et al. 2015, "Show, Attend and Tell": 196 places of 512 features, an LSTM of 512, 10,000 words; greedy.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from deploy.bench import decoder
from deploy.bench.decoder import WIDTH, WORDS
from deploy.bench.graphs import written
from service.package import Loop, TensorCard, TensorSpec
from service.package.sources import FromRequest
from training.export.onnx_file import save, trace

NAME, PLACES = "attention", 196


class Step(nn.Module):
    """Token (B,), hidden and cell (B, 512), features (B, 196, 512) -> the next token and state, for one word."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.cell = nn.LSTMCell(2 * WIDTH, WIDTH)
        self.words = nn.Linear(WIDTH, WORDS)

    def forward(self, token: Tensor, hidden: Tensor, cell: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next token, hidden and cell."""
        scores = (features * self.query(hidden)[:, None]).sum(2) / WIDTH**0.5  # (B, 196, 512) -> (B, 196)
        context = (features * scores.softmax(1)[:, :, None]).sum(1)  # (B, 196, 512) -> (B, 512)
        hidden, cell = self.cell(torch.cat([self.embedding(token), context], 1), (hidden, cell))
        return self.words(hidden).argmax(1), hidden, cell


def attention(repository: Path) -> Path:
    """The folder of the package in ``repository``, which is written unless it exists and is valid."""
    return written(repository / NAME / "1", _write_onnx, _card)


def _card(folder: Path) -> TensorCard:
    """The plain decoder's card, with features that each request brings."""
    plain = decoder.card(folder)
    assert plain.loop is not None
    step, features = plain.loop.step, TensorSpec(name="features", datatype="FP32", shape=(-1, PLACES, WIDTH))
    loop = Loop(
        step=step.model_copy(update={"inputs": (*step.inputs, features)}),
        sources={**plain.loop.sources, features.name: FromRequest(kind="request")},
        emit=plain.loop.emit,
        steps=plain.loop.steps,
    )
    return plain.model_copy(update={"name": NAME, "loop": loop})


@torch.no_grad()
def _write_onnx(path: Path) -> None:
    torch.manual_seed(0)
    examples = {**decoder.EXAMPLES, "features": torch.zeros(2, PLACES, WIDTH)}
    save(trace(Step(), examples, ["next_token", "next_hidden", "next_cell"]), path)
