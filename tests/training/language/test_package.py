"""A recogniser's package: what is in it, that it says what torch says, and what keeps it from being written."""

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
from training.data.language_texts import LanguageTexts
from training.errors import EvaluationError, ExportError
from training.export.float16 import round_weights
from training.fit import fit
from training.language.evaluate import ask, evaluate
from training.language.learner import encode
from training.language.package import from_run, write_recogniser
from training.language.recipe import LanguageGate

METRICS = {
    "accuracy_everyday",
    "accuracy_upper_case",
    "accuracy_without_accents",
    "accuracy_declaration",
    "accuracy_declaration_20",
}


def test_the_card_says_what_the_package_is(recogniser_package: Package) -> None:
    card = recogniser_package.text_classifier
    assert card.text.max_bytes == 1024
    assert recogniser_package.labels == LanguageTexts().labels
    assert card.parameters.top_k.maximum == 28
    assert set(card.provenance.metrics) == METRICS
    assert all(name in card.description for name in METRICS)
    assert set(card.files) == {"model.onnx", "golden.npz", "labels.txt", "card.png"}
    assert max(card.provenance.parity.values()) < 1e-5
    assert card.provenance.dataset is not None
    assert card.provenance.dataset.splits["training"] == 560


@torch.no_grad()
def test_what_is_asked_is_answered_as_torch_would(recogniser_package: Package, recogniser_run: Path) -> None:
    texts = ["Hello there", "Ça va?", "x" * 200, "привет"]
    network = from_run(recogniser_run).network
    round_weights(network)
    answered = ask(recogniser_package.folder.parents[1], recogniser_package, texts)
    for text, found in zip(texts, answered, strict=True):
        wanted = torch.softmax(network(torch.from_numpy(encode([text]))), 1)[0]
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


@pytest.mark.export
def test_a_missed_gate_leaves_the_repository_as_it_was(recogniser_run: Path, tmp_path: Path) -> None:
    subject = from_run(recogniser_run)
    strict = replace(subject, recipe=subject.recipe.model_copy(update={"gate": LanguageGate(accuracy_everyday=1)}))
    with pytest.raises(
        ExportError, match=r"gate, on the validation split: accuracy_everyday is 0\.\d{4}; at least 1 is required"
    ):
        write_recogniser(strict, tmp_path / "zoo")
    assert not list((tmp_path / "zoo").iterdir())


@pytest.mark.export
@pytest.mark.fit
def test_a_plain_recurrent_network_cannot_be_exported(tmp_path: Path) -> None:
    fit(tiny_recogniser("epochs=1", cell="rnn"), tmp_path / "run", progress=False)
    with pytest.raises(ExportError, match="cannot be exported for any length; gru and lstm can"):
        write_recogniser(from_run(tmp_path / "run"), tmp_path / "zoo")


@pytest.mark.export
def test_from_the_command_line(recogniser_run: Path, tmp_path: Path) -> None:
    cli, zoo = CliRunner(), str(tmp_path / "zoo")
    done = cli.invoke(export_command, [str(recogniser_run), "--repository", zoo], catch_exceptions=False)
    assert (done.exit_code, "through the serving engine" in done.output) == (0, True)
    done = cli.invoke(evaluate_command, ["language-gru", "--repository", zoo], catch_exceptions=False)
    assert done.exit_code == 0
    assert set(done.output.replace(":", " ").split()) >= METRICS


def test_a_card_that_says_another_number_is_found_out(recogniser_package: Package) -> None:
    done = evaluate(recogniser_package.folder.parents[1], "language-gru")
    done.check()
    with pytest.raises(EvaluationError, match="accuracy_everyday"):
        replace(done, metrics={**done.metrics, "accuracy_everyday": done.metrics["accuracy_everyday"] + 0.1}).check()
