"""A recogniser's package: what is in it, that it says what torch says, and what keeps it from being written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from service.package import Package
from tests.training.language.tiny import tiny_recogniser
from training.commands.evaluate import evaluate as evaluate_command
from training.commands.export import export as export_command
from training.data.languages import Declaration, Texts
from training.errors import EvaluationError, ExportError
from training.export.float16 import round_weights
from training.fit import fit
from training.language import evaluate as room
from training.language.evaluate import evaluate
from training.language.learner import encode
from training.language.package import from_run, write_recogniser
from training.language.recipe import LanguageGate


def test_the_card_says_what_the_package_is(recogniser_package: Package) -> None:
    card = recogniser_package.text_classifier
    assert card.text.max_bytes == 1024
    assert recogniser_package.labels == Declaration().labels
    assert card.parameters.top_k.maximum == 28
    assert set(card.provenance.metrics) == {"accuracy", "accuracy_20"}
    assert set(card.files) == {"model.onnx", "golden.npz", "labels.txt", "card.png"}
    assert max(card.provenance.parity.values()) < 1e-5
    assert card.provenance.dataset is not None
    assert card.provenance.dataset.splits["training"] == 560


@torch.no_grad()
def test_what_is_measured_is_what_torch_would_say(
    recogniser_package: Package, recogniser_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = Texts(("Hello there", "Ça va?", "x" * 200, "привет"), np.array([6, 9, 6, 22]))
    network = from_run(recogniser_run).network
    round_weights(network)
    asked = []
    original = room.ask

    async def ask(repository: Path, package: Package, texts: Sequence[str]) -> np.ndarray:
        asked.append(await original(repository, package, texts))
        return asked[-1]

    monkeypatch.setattr(room, "ask", ask)
    room._accuracy(recogniser_package.folder.parents[1], recogniser_package, texts)
    for text, found in zip(texts.texts, asked[0], strict=True):
        wanted = torch.softmax(network(torch.from_numpy(encode([text]))), 1)[0]
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_a_missed_gate_leaves_the_repository_as_it_was(recogniser_run: Path, tmp_path: Path) -> None:
    subject = from_run(recogniser_run)
    strict = replace(subject, recipe=subject.recipe.model_copy(update={"gate": LanguageGate(accuracy=1)}))
    with pytest.raises(ExportError, match=r"gate, on the test split: accuracy 0\.\d{4}, 1 is wanted"):
        write_recogniser(strict, tmp_path / "zoo")
    assert not list((tmp_path / "zoo").iterdir())


def test_a_plain_recurrent_network_cannot_be_exported(tmp_path: Path) -> None:
    fit(tiny_recogniser("epochs=1", cell="rnn"), tmp_path / "run", progress=False)
    with pytest.raises(ExportError, match="cannot be exported for any length; gru and lstm can"):
        write_recogniser(from_run(tmp_path / "run"), tmp_path / "zoo")


def test_from_the_command_line(recogniser_run: Path, tmp_path: Path) -> None:
    cli, zoo = CliRunner(), str(tmp_path / "zoo")
    done = cli.invoke(export_command, [str(recogniser_run), "--repository", zoo], catch_exceptions=False)
    assert (done.exit_code, "through the serving engine" in done.output) == (0, True)
    done = cli.invoke(evaluate_command, ["language-gru", "--repository", zoo], catch_exceptions=False)
    assert done.exit_code == 0
    assert "accuracy_20" in done.output


def test_a_card_that_says_another_number_is_found_out(recogniser_package: Package) -> None:
    done = evaluate(recogniser_package.folder.parents[1], "language-gru")
    done.check()
    with pytest.raises(EvaluationError, match="accuracy"):
        replace(done, metrics={**done.metrics, "accuracy": done.metrics["accuracy"] + 0.1}).check()
