"""A caption decoder's step with random weights, as a package: an LSTM of 512 over 10,000 words.

The size that Show and Tell has on COCO (Vinyals et al. 2015); greedy, so a word is the arg-max of the logits.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from deploy.bench.graphs import FILE, written
from service.package import Graph, Loop, TensorCard, TensorSpec, sha256
from service.package.loop import Steps
from service.package.sources import Fill, FromRequest, State
from training.export.onnx_file import save, trace

NAME = "decoder"
WIDTH, WORDS, SLOTS, MAX_STEPS = 512, 10_000, 16, 64
EXAMPLES = {
    "token": torch.ones(2, dtype=torch.int64),
    "hidden": torch.zeros(2, WIDTH),
    "cell": torch.zeros(2, WIDTH),
}


class Step(nn.Module):
    """Token (B,), hidden and cell (B, 512) -> the next token and state, for one word."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.cell = nn.LSTMCell(WIDTH, WIDTH)
        self.words = nn.Linear(WIDTH, WORDS)

    def forward(self, token: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next token, hidden and cell."""
        hidden, cell = self.cell(self.embedding(token), (hidden, cell))
        return self.words(hidden).argmax(1), hidden, cell


def decoder(repository: Path) -> Path:
    """The repository with the package in it, which is written unless it exists and is valid."""
    written(repository / NAME / "1", _write_onnx, card)
    return repository


def card(folder: Path) -> TensorCard:
    """The card of the step in ``folder``."""
    states = [TensorSpec(name=name, datatype="FP32", shape=(-1, WIDTH)) for name in ("hidden", "cell")]
    step = Graph(
        file=FILE,
        inputs=(TensorSpec(name="token", datatype="INT64", shape=(-1,)), *states),
        outputs=(
            TensorSpec(name="next_token", datatype="INT64", shape=(-1,)),
            *(spec.model_copy(update={"name": f"next_{spec.name}"}) for spec in states),
        ),
        max_batch=SLOTS,
    )
    zeros = Fill(kind="fill")
    loop = Loop(
        step=step,
        sources={
            "token": State(kind="state", output="next_token", initial=FromRequest(kind="request", default=1)),
            "hidden": State(kind="state", output="next_hidden", initial=zeros),
            "cell": State(kind="state", output="next_cell", initial=zeros),
        },
        emit=("next_token",),
        steps=Steps(default=20, maximum=MAX_STEPS),
    )
    return TensorCard(name=NAME, version=1, loop=loop, files={FILE: sha256(folder / FILE)})


@torch.no_grad()
def _write_onnx(path: Path) -> None:
    torch.manual_seed(0)
    save(trace(Step(), EXAMPLES, ["next_token", "next_hidden", "next_cell"]), path)
