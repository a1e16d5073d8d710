"""A captioner that learns from captions of its own."""

from pathlib import Path
from typing import get_args

import pytest
import torch

from models.layers.pixels import unit
from tests.training.captioning.tiny import WIDTHS, tiny_captioner
from tests.training.tiny import Tiny, tiny_recipe
from training.captioning.decoding import allowed, draw, write_captions
from training.captioning.self_critical import SelfCritical, advantage
from training.captioning.start import CaptionerStart, OpenedCaptioner
from training.data.vocabulary import END, NEVER_SAID, PAD, START
from training.diagnosis import Name, diagnose
from training.errors import RecipeError
from training.fit import fit


def start(scenes: Tiny, *changes: str, decoder: str = "attention") -> CaptionerStart:
    return OpenedCaptioner(tiny_captioner("self_critical=4", *changes, decoder=decoder), scenes.folder).start()


def test_each_caption_is_compared_with_the_others_of_its_image() -> None:
    found = advantage(torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]]))
    torch.testing.assert_close(found, torch.tensor([[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("decoder", WIDTHS)
def test_captions_are_drawn_as_they_would_be_said(scenes: Tiny, decoder: str) -> None:
    torch.manual_seed(0)
    begun = start(scenes, decoder=decoder)
    network = begun.learner.network.eval()
    images, *_ = begun.some(1)
    features = network.encoder(begun.learner.normalised(unit(images)))
    many = 4000
    drawn = write_captions(network.decoder, features.detach().expand(many, -1, -1), network.length, draw)
    assert drawn.shape[1] <= network.length + 1
    assert (drawn[:, 0] == START).all()
    for row in drawn[:200, 1:].tolist():
        words = row[: row.index(END)] if END in row else row
        assert not set(words) & set(NEVER_SAID)
        assert set(row[len(words) + 1 :]) <= {PAD}
    # The second word, after the one that most begin with.
    first = drawn[:, 1][drawn[:, 1] != END].bincount().argmax()
    seconds = drawn[drawn[:, 1] == first, 2]
    wanted = allowed(network.decoder(torch.tensor([[START, first]]), features).logits[0, -1]).softmax(0)
    shares = seconds.bincount(minlength=len(wanted)) / len(seconds)
    deviation = (wanted * (1 - wanted) / len(seconds)).sqrt()
    assert ((shares - wanted).abs() <= 5 * deviation + 1e-6).all()


def test_a_caption_that_breaks_off_is_worth_less_than_the_whole_one(scenes: Tiny) -> None:
    begun = start(scenes)
    learner, (_, places, tokens, _) = begun.learner, begun.some(2)
    assert isinstance(learner, SelfCritical)
    whole = tokens[0, 1:]
    end = int((whole == END).nonzero())
    without_end, without_a_word, other = whole.clone(), whole.clone(), tokens[1, 1:]
    without_end[end] = PAD
    without_a_word[end - 1], without_a_word[end] = END, PAD
    drawn = torch.stack((whole, without_end, without_a_word, other) * 2)
    rewards = learner.rewards(drawn, tokens[:, 1:], places)
    assert rewards.shape == (2, 4)
    assert rewards[0, 0] == pytest.approx(10)
    assert rewards[0, 0] > rewards[0, 2] > rewards[0, 3]
    assert rewards[0, 1] < rewards[0, 0]
    assert rewards[1, 3] == pytest.approx(10)


@pytest.mark.fit
@pytest.mark.slow
def test_captions_come_to_be_worth_more(scenes: Tiny, captioner_run: Path, tmp_path: Path) -> None:
    given = (f"transfer={{weights='{captioner_run}', fresh=[]}}", "self_critical=8", "epochs=15", "batch_size=8")
    recipe = tiny_captioner(*given, "optimiser.learning_rate=3e-2")
    begun = OpenedCaptioner(recipe, scenes.folder).start()
    before = worth(begun)
    said: list[str] = []
    done = fit(recipe, tmp_path / "run", scenes.folder, progress=False, say=said.append)
    assert not diagnosed(said)  # training's loss is of other captions
    assert diagnosed([str(finding) for finding in diagnose(done.history)])
    begun.learner.network.load_state_dict(done.weights)
    assert worth(begun) > 1.3 * before


def diagnosed(lines: list[str]) -> list[str]:
    """Those that say what the learning curve says."""
    return [line for line in lines if line.partition(":")[0] in get_args(Name)]


@torch.no_grad()
def worth(begun: CaptionerStart) -> float:
    """The mean reward of captions drawn for the training images."""
    learner, (images, places, tokens, _) = begun.learner, begun.some(48)
    assert isinstance(learner, SelfCritical)
    torch.manual_seed(0)
    features = learner.network.eval().encoder(learner.normalised(unit(images))).repeat_interleave(8, 0)
    drawn = write_captions(learner.network.decoder, features, learner.network.length, draw)
    return float(learner.rewards(drawn[:, 1:], tokens[:, 1:], places).mean())


def test_the_whole_network_starts_from_a_captioners_run(scenes: Tiny, captioner_run: Path) -> None:
    given = f"transfer={{weights='{captioner_run}', fresh=[], mode='freeze'}}"
    learner = start(scenes, given).learner
    weights = torch.load(captioner_run / "last.ckpt", weights_only=True)["state_dict"]
    for name, weight in learner.network.state_dict().items():
        assert torch.equal(weight, weights[f"model.{name}"]), name
    assert learner.fresh == ()
    assert learner.starts_trained
    still = {name for name, weight in learner.network.named_parameters() if not weight.requires_grad}
    assert still == {f"encoder.backbone.{name}" for name, _ in learner.network.encoder.backbone.named_parameters()}


@pytest.mark.fit
def test_other_words_or_another_network_are_refused(scenes: Tiny, captioner_run: Path, tmp_path: Path) -> None:
    given = f"transfer={{weights='{captioner_run}', fresh=[]}}"
    with pytest.raises(RecipeError, match="its min_count is 1; this recipe has 3"):
        start(scenes, given, "min_count=3")
    fit(tiny_recipe("epochs=1"), tmp_path / "softmax", scenes.folder, progress=False)
    with pytest.raises(RecipeError, match="its dataset is 'mnist'; this recipe has 'digit-scenes'"):
        start(scenes, f"transfer={{weights='{tmp_path / 'softmax'}', fresh=[]}}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("self_critical=1",), "self_critical is 1; .* it must be 2 or more, or 0"),
        (
            ("self_critical=2", "label_smoothing=0.1"),
            "self_critical excludes label_smoothing, which apply to people's captions only",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes: tuple[str, ...], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        tiny_captioner(*changes)
