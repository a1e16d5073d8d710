"""A captioner's package: what is in it, that it says what torch says, and what keeps it from being written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from models.captioning.network import CaptionNetwork
from models.layers.pixels import normalise, unit
from service.package import Package, read_package
from tests.training.captioning.tiny import tiny_captioner, tiny_scenes
from tests.training.tiny import Tiny
from training.captioning import evaluate as room
from training.captioning.decoding import most_probable, write_captions
from training.captioning.evaluate import evaluate
from training.captioning.package import example, stored_network, write_captioner
from training.captioning.recipe import CaptionGate
from training.captioning.subject import CaptionSubject, from_run
from training.commands.evaluate import evaluate as evaluate_command
from training.commands.export import export as export_command
from training.data import find_captions
from training.data.vocabulary import END, START
from training.errors import EvaluationError, ExportError
from training.fit import fit


@pytest.fixture
def subject(scenes: Tiny, captioner_run: Path) -> CaptionSubject:
    return from_run(captioner_run, scenes.folder)


@torch.no_grad()
def encode(subject: CaptionSubject, image: np.ndarray) -> tuple[CaptionNetwork, torch.Tensor]:
    """The network as it is stored, and the features of ``image``."""
    network = stored_network(subject.network)
    pixels = normalise(unit(torch.from_numpy(image[None].copy())), subject.source.mean, subject.source.std)
    return network, network.encoder(pixels)


def greedy(subject: CaptionSubject, image: np.ndarray) -> list[int]:
    """The tokens that are the most probable with torch, one after the other."""
    network, features = encode(subject, image)
    (tokens,) = write_captions(network.decoder, features, network.length, most_probable).tolist()
    return list(tokens)


@torch.no_grad()
def best(subject: CaptionSubject, image: np.ndarray) -> list[int]:
    """The tokens of beam search with torch, by going through all sentences that three beams lead to."""
    network, features = encode(subject, image)
    beams: list[tuple[float, list[int]]] = [(0.0, [START])]
    done: list[tuple[float, list[int]]] = []
    for _ in range(network.length):
        grown = []
        for cost, words in beams:
            logits = network.decoder(torch.tensor([words]), features).logits[0, -1]
            scores = torch.log_softmax(logits, 0)
            grown += [
                (cost + float(scores[word]), [*words, word]) for word in range(len(scores)) if word not in (0, 1, 3)
            ]
        grown = sorted(grown, reverse=True)[: subject.recipe.beam_width]
        done += [each for each in grown if each[1][-1] == END]
        beams = [each for each in grown if each[1][-1] != END]
        if not beams:
            break
    return max([*done, *beams])[1][1:]


def test_the_card_says_what_the_package_is(captioner_package: Package) -> None:
    card = captioner_package.captioner
    assert card.loop.steps.maximum == card.loop.steps.default == 12
    assert card.loop.choice is not None
    assert card.loop.choice.strategies == ("greedy", "sample", "beam")
    assert (card.attention.height, card.attention.width) == (8, 8) if card.attention else False
    assert captioner_package.vocabulary[:5] == ("<pad>", "<start>", "<end>", "<unknown>", "a")
    assert card.provenance.dataset is not None
    assert card.provenance.dataset.splits == {"training": 48, "validation": 24, "test": 24}
    names = {*(f"bleu_{n}" for n in (1, 2, 3, 4)), "rouge_l", "cider_d", "exact_match", "attention_mass"}
    assert set(card.provenance.metrics) == names | {f"{name}_beam3" for name in names}
    assert set(card.files) == {"encoder.onnx", "step.onnx", "golden.npz", "vocabulary.txt", "card.png"}
    assert max(card.provenance.parity.values()) < 1e-5


def test_what_is_measured_is_what_torch_would_say(
    captioner_package: Package, subject: CaptionSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def score(texts: list[str], references: object) -> dict[str, float]:
        said.extend(texts)
        return {"bleu_1": 0.0}

    monkeypatch.setattr(room, "score", score)
    measured = room.measure(captioner_package.folder.parents[1], captioner_package, subject.source, "test")
    assert set(measured.metrics) == {"bleu_1", "bleu_1_beam3", "attention_mass", "attention_mass_beam3"}
    assert len(said) == 48
    # First what a request gets that asks for no strategy.
    assert said[:8] == [subject.vocabulary.decode(greedy(subject, image)) for image in subject.test.images[:8]]
    assert said[24:32] == [subject.vocabulary.decode(best(subject, image)) for image in subject.test.images[:8]]


def test_attention_is_measured_on_the_digits_that_are_named(
    captioner_package: Package, subject: CaptionSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        room, "attention_mass", lambda texts, maps, scenes: float(len(texts) == len(maps) == len(scenes))
    )
    measured = room.measure(captioner_package.folder.parents[1], captioner_package, subject.source, "test")
    assert measured.metrics["attention_mass"] == 1.0


@pytest.mark.export
@pytest.mark.fit
@pytest.mark.parametrize("decoder", ["lstm", "transformer"])
def test_a_decoder_without_attention_and_one_without_recurrence_are_exported(
    scenes: Tiny, tmp_path: Path, decoder: str
) -> None:
    run = tmp_path / "run"
    fit(tiny_captioner("epochs=1", decoder=decoder), run, scenes.folder, progress=False)
    package = write_captioner(from_run(run, scenes.folder), tmp_path / "zoo")
    assert (package.captioner.attention is not None) == (decoder == "transformer")
    found = evaluate(tmp_path / "zoo", f"scenes-{decoder}", data=scenes.folder)
    assert found.metrics == package.captioner.provenance.metrics


def test_a_package_holds_no_image_that_may_not_be_passed_on(scenes: Tiny) -> None:
    images = np.array([[[0, 10]], [[3, 20]], [[6, 31]]], np.uint8)
    assert example(find_captions("digit-scenes", scenes.folder), images).tolist() == [[[0, 10]]]
    assert example(find_captions("flickr8k"), images).tolist() == [[[3, 20]]]


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.export
def test_the_same_run_gives_the_same_bytes(captioner_package: Package, subject: CaptionSubject, tmp_path: Path) -> None:
    again = write_captioner(subject, tmp_path)
    for path in captioner_package.folder.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.export
def test_a_missed_gate_leaves_the_repository_as_it_was(subject: CaptionSubject, tmp_path: Path) -> None:
    strict = replace(subject, recipe=subject.recipe.model_copy(update={"gate": CaptionGate(exact_match=1, bleu_1=0)}))
    with pytest.raises(ExportError, match=r"gate, on the validation split: exact_match is 0.\d{4}; at least 1 is req"):
        write_captioner(strict, tmp_path / "zoo")
    assert not list((tmp_path / "zoo").iterdir())


@pytest.mark.export
def test_a_broken_graph_is_no_package(subject: CaptionSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.export.writer.differences", lambda *_: {"1": 1e-3})
    with pytest.raises(ExportError, match=r"parity, batch 1: differs from torch by 1.00e-03"):
        write_captioner(subject, tmp_path / "zoo")


@pytest.mark.export
def test_from_the_command_line(
    scenes: Tiny, captioner_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTORIUM_DATA", str(scenes.folder))
    cli, zoo = CliRunner(), str(tmp_path / "zoo")
    done = cli.invoke(export_command, [str(captioner_run), "--repository", zoo], catch_exceptions=False)
    assert (done.exit_code, "through the serving engine" in done.output) == (0, True)
    bleu = read_package(tmp_path / "zoo" / "scenes-attention" / "1").captioner.provenance.metrics["bleu_1"]
    done = cli.invoke(evaluate_command, ["scenes-attention", "--repository", zoo], catch_exceptions=False)
    assert f"bleu_1           {bleu:.4f}   card {bleu:.4f}" in done.output
    refused = cli.invoke(export_command, [str(captioner_run), "--int8", "--repository", zoo])
    assert "a run of the task 'caption' is exported alone, its weights as float16" in refused.output
    refused = cli.invoke(evaluate_command, ["scenes-attention", "--data", "mnist", "--repository", zoo])
    assert "is measured on the data set that its card names" in refused.output


def test_a_card_that_says_another_number_is_found_out(captioner_package: Package, tiny_data: Tiny) -> None:
    with tiny_scenes(tiny_data):
        done = evaluate(captioner_package.folder.parents[1], "scenes-attention", data=tiny_data.folder)
    done.check()
    better = {**done.metrics, "rouge_l": done.metrics["rouge_l"] + 0.1}
    with pytest.raises(EvaluationError, match="rouge_l"):
        replace(done, metrics=better).check()
