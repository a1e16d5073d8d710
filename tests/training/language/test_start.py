"""What a recogniser of languages learns from, and what its recipe may ask for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.training.language.tiny import tiny_recogniser
from training.data.language_texts import LanguageTexts
from training.data.languages import Texts
from training.errors import DataError, RecipeError
from training.fit import fit
from training.language.learner import batches, encode, trimmed
from training.language.start import OpenedRecogniser
from training.recipe import load_recipe
from training.world import World


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("shortest=130",), "shortest is 130; it must be at most longest, 60"),
        (("epochs=0",), "epochs is 0; a language recogniser needs 1 or more"),
        (("augmentation.flip=0.5",), "augmentation applies to images"),
        (("transfer.weights=x.pth",), r"transfer \(--weights\) is not supported"),
        (("gate.accuracy_everyday=2",), "gate.accuracy_everyday: Input should be less than or equal to 1"),
        (("gate={accuracy=0.9}",), "gate.accuracy: unknown key"),
        (("mixture={declaration=0}",), r"mixture is .*'declaration': 0.*; at least one part must be above 0"),
        (("spelling.case=2",), "spelling.case: Input should be less than or equal to 1"),
    ],
)
def test_what_makes_no_sense_of_texts_is_said(changes: tuple[str, ...], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe("language-gru", changes)


def test_another_model_and_other_texts_are_refused() -> None:
    with pytest.raises(RecipeError, match="lenet5 is not a language recogniser"):
        OpenedRecogniser(tiny_recogniser("model=lenet5"))
    with pytest.raises(DataError, match="no texts 'mnist'; there are 'texts'"):
        OpenedRecogniser(tiny_recogniser("dataset=mnist"))


def test_texts_are_bytes_with_zeros_after_their_end() -> None:
    rows = encode(("añ", "abcd"))
    assert rows.tolist() == [[97, 195, 177, 0], [97, 98, 99, 100]]
    assert encode(("añ",), 2).tolist() == [[97, 195]]
    texts, labels = trimmed((torch.from_numpy(encode(("ab", "c"), 6)), torch.tensor([0, 1])))
    assert (texts.tolist(), labels.tolist()) == ([[97, 98], [99, 0]], [0, 1])


def test_processes_share_every_batch() -> None:
    texts = Texts(tuple("abcdef"), np.arange(6))
    shares = [batches(texts, 2, World(rank, 2, 2)) for rank in range(2)]
    assert [labels.tolist() for _, labels in shares[0]] == [[0, 2], [4]]
    assert [labels.tolist() for _, labels in shares[1]] == [[1, 3], [5]]


def test_the_loss_is_the_cross_entropy_of_the_languages() -> None:
    learner = OpenedRecogniser(tiny_recogniser()).start().learner
    learner.measure = lambda *_: None  # type: ignore[method-assign]
    texts, labels = torch.from_numpy(encode(("hello", "bonjour"))), torch.tensor([6, 9])
    wanted = cross_entropy(learner.model(texts), labels)
    assert learner.training_step((texts, labels), 0).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_pieces_are_learnt_from_in_many_spellings_and_everyday_sentences_validated_in_each() -> None:
    begun = OpenedRecogniser(tiny_recogniser("examples=2800")).start()
    shares = [sum(text.isupper() for text in begun.examples.texts) / 2_800]
    shares.append(sum(text.istitle() for text in begun.examples.texts) / 2_800)
    assert all(0.05 < share < 0.5 for share in shares)
    assert begun.held_out.texts[:280] == LanguageTexts().validation().everyday.texts
    assert len(begun.held_out) == 840


@pytest.mark.fit
def test_training_learns(tmp_path: Path) -> None:
    done = fit(tiny_recogniser("epochs=6", "examples=2240", "optimiser.learning_rate=0.01"), tmp_path, progress=False)
    assert done.history[-1]["validation_accuracy"] > 0.2  # of 28 languages
    assert len((tmp_path / "sanity.json").read_text()) > 100
