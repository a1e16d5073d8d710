"""Many bytes to one language."""

import logging
import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from models.language.recogniser import VARIANTS, LanguageGraph, LanguageRecogniser
from models.layers.cell import CELLS
from models.variant import build_row, find_row
from training.export.onnx_file import OPSET

SENTENCES = (
    "all human beings are born free",
    "alle Menschen sind frei und gleich",
    "tous les \u00eatres humains naissent libres",
    "\u0432\u0441\u0435 \u043b\u044e\u0434\u0438",
)
each_cell = pytest.mark.parametrize("cell", CELLS)


def texts(*sentences: str) -> Tensor:
    """UTF-8 (B, T) with zeros after each end."""
    coded = [sentence.encode() for sentence in sentences]
    longest = max(map(len, coded))
    return torch.tensor([[*text, *(0,) * (longest - len(text))] for text in coded], dtype=torch.uint8)


def recogniser(cell: str, **config: float) -> LanguageRecogniser:
    torch.manual_seed(0)
    found = LanguageRecogniser(4, cell=cell, width=6, hidden=16, **config)  # type: ignore[arg-type]
    nn.init.normal_(found.scores.weight)
    return found.eval()


@each_cell
def test_a_text_does_not_depend_on_its_batch_or_its_padding(cell: str) -> None:
    model = recogniser(cell)
    together = model(texts(*SENTENCES))
    for row, sentence in enumerate(SENTENCES):
        torch.testing.assert_close(together[row], model(texts(sentence))[0])


@each_cell
def test_every_byte_counts(cell: str) -> None:
    model, text = recogniser(cell), texts(SENTENCES[1])
    logits = model(text)
    for place in range(text.shape[1]):
        other = text.clone()
        other[0, place] ^= 1
        assert not torch.equal(model(other), logits), place


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_graph_answers_as_the_recogniser_does(cell: str, layers: int) -> None:
    model, text = recogniser(cell, layers=layers), texts(*SENTENCES, "")
    torch.testing.assert_close(LanguageGraph(model).eval()(text), (torch.softmax(model(text), 1),))


@pytest.mark.export
@pytest.mark.slow
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_onnx_runtime_answers_as_torch_does_for_any_length(cell: str, tmp_path: Path) -> None:
    model, path = recogniser(cell), tmp_path / "model.onnx"
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        # torch's recurrent layers keep their weights a second time, in a list.
        warnings.filterwarnings("ignore", "The tensor attributes self.recurrence._flat_weights", UserWarning)
        warnings.filterwarnings("ignore", ".*_check_is_size will be removed", FutureWarning)
        shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("bytes")}
        torch.onnx.export(
            LanguageGraph(model).eval(),
            (texts(*SENTENCES),),
            path,
            dynamo=True,
            dynamic_shapes=(shape,),
            opset_version=OPSET,
            verbose=False,
        )
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert cell.upper() in [node.op_type for node in onnx.load(path).graph.node]
    for rows in ((0,), (1, 2, 3), (0, 1, 2, 3)):
        text = texts(*(SENTENCES[row] for row in rows))
        (found,) = session.run(None, {session.get_inputs()[0].name: text.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, torch.softmax(model(text), 1).numpy(), rtol=1e-4, atol=1e-6)


@each_cell
def test_it_learns_sentences_by_heart_and_at_first_guesses(cell: str) -> None:
    torch.manual_seed(0)
    model, text, labels = LanguageRecogniser(4, cell=cell, width=8, hidden=16), texts(*SENTENCES), torch.arange(4)
    assert cross_entropy(model(text), labels).item() == pytest.approx(math.log(4), abs=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), 0.02)
    for _ in range(40):
        logits = model(text)
        if (logits.argmax(1) == labels).all():
            break
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(logits, labels))
        optimizer.step()
    else:
        pytest.fail("not after 40 steps")
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_a_vanilla_network_is_not_exported() -> None:
    with pytest.raises(TypeError, match="the cell rnn cannot be exported for any length; gru and lstm can"):
        LanguageGraph(recogniser("rnn"))


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(KeyError, match="no cell 'bert'; there are rnn, gru, lstm"):
        LanguageRecogniser(4, cell="bert")


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_and_multiply_accumulates_of_a_byte_are_those_in_the_table(name: str) -> None:
    row, counter = find_row(VARIANTS, name), FlopCounterMode(display=False)
    with torch.device("meta"), counter:
        model = build_row(row).eval()
        model(torch.zeros(1, 1, dtype=torch.uint8))
    assert sum(p.numel() for p in model.parameters()) == row.parameters
    assert counter.get_total_flops() == 2 * row.macs
