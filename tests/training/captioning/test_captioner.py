"""What a captioner is asked for, and what it reads."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax

from models.captioning.attention import doubly_stochastic
from models.layers.pixels import unit
from tests.training.captioning.tiny import WIDTHS, tiny_captioner
from tests.training.test_fit import assert_same_weights, measured
from tests.training.tiny import Tiny
from training.captioning import captioner
from training.captioning.captioner import Captioner, overlooked, trimmed
from training.captioning.start import CaptionerStart, OpenedCaptioner
from training.data.caption_loading import CaptionBatch
from training.data.scene_grammar import digits_to_look_at
from training.data.vocabulary import PAD, START
from training.fit import fit
from training.recipe import load_recipe


def start(scenes: Tiny, *changes: str, decoder: str = "attention") -> CaptionerStart:
    return OpenedCaptioner(tiny_captioner(*changes, decoder=decoder), scenes.folder).start()


def value(learner: Captioner, batch: CaptionBatch) -> float:
    """The loss of a training step."""
    learner.measure = lambda *_: None  # type: ignore[method-assign]
    return float(learner.training_step(batch, 0).detach())


@pytest.mark.parametrize("decoder", WIDTHS)
def test_each_word_is_asked_for_after_those_before_it(scenes: Tiny, decoder: str) -> None:
    begun = start(scenes, decoder=decoder)
    images, _, tokens, _ = batch = begun.some(4)
    network = begun.learner.network.eval()
    cost, words = 0.0, 0
    for image, sentence in zip(images, tokens, strict=True):
        for place in range(1, int((sentence != PAD).sum())):
            seen = begun.learner.normalised(unit(image[None]))
            logits = network(seen, sentence[None, :place]).logits[0, -1]
            cost -= float(log_softmax(logits, 0)[sentence[place]].detach())
            words += 1
    assert (tokens != PAD).sum() - 4 == words
    assert value(begun.learner, batch) == pytest.approx(cost / words, rel=1e-5)
    assert float(begun.learner.losses(network, batch)[0].detach()) == pytest.approx(cost / words, rel=1e-5)


def test_a_batch_is_as_long_as_its_longest_caption(scenes: Tiny) -> None:
    images, places, tokens, looks = start(scenes).some(8)
    _, _, short, _ = trimmed((images, places, tokens, looks))
    longest = int((tokens != PAD).sum(1).max())
    assert short.shape == (8, longest)
    assert longest < tokens.shape[1]
    assert (tokens[:, longest:] == PAD).all()


def test_smoothing_and_the_penalty_on_attention_are_added(scenes: Tiny) -> None:
    plain = start(scenes)
    batch = plain.some(4)
    images, _, tokens, _ = batch
    real = tokens != PAD
    sentence = plain.learner.network.eval()(plain.learner.normalised(unit(images)), tokens[:, :-1])
    wanted, logits = tokens[:, 1:][real[:, 1:]], sentence.logits[real[:, 1:]]
    for changes, expected in (
        (("label_smoothing=0.2",), cross_entropy(logits, wanted, label_smoothing=0.2)),
        (
            ("doubly_stochastic=0.5",),
            cross_entropy(logits, wanted) + 0.5 * doubly_stochastic(sentence.attention, real[:, 1:]),
        ),
    ):
        learner = start(scenes, *changes).learner
        learner.network.eval()
        assert value(learner, batch) == pytest.approx(expected.item(), rel=1e-5)


def test_the_validation_loss_is_the_words_alone(scenes: Tiny) -> None:
    """A penalty in it would choose the epoch by where the network looks."""
    begun = start(scenes, "doubly_stochastic=50.0", "label_smoothing=0.2")
    learner, measured = begun.learner, list[float]()
    learner.measure = lambda stage, loss, *_: measured.append(float(loss))  # type: ignore[method-assign]
    learner.network.eval()
    batch = begun.some(4)
    with torch.no_grad():
        learner.validation_step(batch, 0)
        (wanted,) = learner.losses(learner.network, batch)
    assert measured == [pytest.approx(float(wanted), rel=1e-5)]


def test_captions_of_the_networks_own_are_scored_against_peoples(scenes: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = start(scenes)
    _, places, tokens, _ = next(iter(begun.validation()))
    several = (tokens != PAD).sum(1) > 6  # a caption of less than four words has no n-grams of four
    found = []
    for written in (tokens, tokens.roll(1, 0)):
        monkeypatch.setattr(captioner, "write_captions", lambda *_, written=written: written)
        found.append(begun.learner.worth(torch.zeros(len(tokens), 1, 1), tokens, places))
    assert found[0].shape == (len(tokens),)
    assert found[0][several].tolist() == pytest.approx([10.0] * int(several.sum()))
    assert float(found[1].mean()) < 0.6 * float(found[0].mean())


@pytest.mark.fit
def test_the_best_epoch_is_that_of_the_best_captions(scenes: Tiny, tmp_path: Path) -> None:
    shipped = load_recipe("flickr-attention")
    assert (shipped.keep, shipped.early_stopping.metric) == ("best", "validation_cider_d")
    recipe = tiny_captioner("epochs=3", "keep=best", "early_stopping.metric=validation_cider_d")
    done = fit(recipe, tmp_path, scenes.folder, progress=False)
    best = max(done.history, key=lambda row: row["validation_cider_d"])
    assert done.kept is not None
    assert done.kept["validation_cider_d"] == best["validation_cider_d"] >= 0


def test_scheduled_sampling_reads_the_networks_words_more_and_more(
    scenes: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = start(scenes, "scheduled_sampling=1.0", "epochs=5")
    images, _, tokens, _ = begun.some(8)
    learner = begun.learner
    features = learner.network.encoder(learner.normalised(unit(images)))
    own = []
    for epoch in (0, 2, 4):
        monkeypatch.setattr(Captioner, "current_epoch", epoch)
        torch.manual_seed(0)
        read = learner._read(tokens, features)
        assert (read[:, 0] == START).all()
        assert (read[tokens == PAD] == PAD).all()
        own.append(float((read != tokens).sum() / (tokens[:, 1:] != PAD).sum()))
    # What is drawn may be the caption's word.
    assert own[0] == 0
    assert 0.3 < own[1] < 0.6
    assert own[2] > 0.85


def test_an_image_is_encoded_once_for_all_of_its_captions(scenes: Tiny) -> None:
    learner = start(scenes).learner
    images, _, tokens, looks = start(scenes).some(2)
    several = (images, torch.tensor([0, 0, 1]), torch.stack((tokens[0], tokens[1], tokens[1])), looks[[0, 0, 0]])
    apart = (images[[0, 0, 1]], torch.arange(3), several[2], several[3])
    learner.network.eval()
    seen: list[int] = []
    learner.network.encoder.register_forward_hook(lambda module, given, answer: seen.append(len(given[0])))
    assert value(learner, several) == pytest.approx(value(learner, apart), rel=1e-5)
    assert seen == [2, 3]


def test_where_to_look_for_each_word_is_learnt(scenes: Tiny) -> None:
    attention = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]], [[1.0, 0.0, 0.0], [0.0, 0.8, 0.2]]])
    looks = torch.tensor([[[255, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 51, 255]]], dtype=torch.uint8)
    # Of the second caption's second word, a sixth is wanted in the middle and five sixths on the right.
    wanted = -(torch.tensor(0.5).log() + torch.tensor(0.8).log() / 6 + torch.tensor(0.2).log() * 5 / 6) / 2
    assert float(overlooked(attention, looks)) == pytest.approx(wanted.item(), abs=1e-3)
    assert float(overlooked(attention, looks * 0)) == 0
    begun = start(scenes, "supervised_attention=2.0")
    batch: CaptionBatch = begun.training().dataset[[0, 1, 2, 3]]
    learner = begun.learner
    learner.network.eval()
    images, _, tokens, looks = trimmed(batch)
    sentence = learner.network(learner.normalised(unit(images)), tokens[:, :-1])
    plain = start(scenes).learner
    plain.network.load_state_dict(learner.network.state_dict())
    plain.network.eval()
    wanted = value(plain, batch) + 2 * overlooked(sentence.attention, looks)
    assert value(learner, batch) == pytest.approx(wanted.item(), rel=1e-5)
    for caption, words in zip(begun.examples.captions[:4], looks, strict=True):
        for digit, cells in zip(digits_to_look_at(caption[0].split()), words, strict=False):
            assert bool(cells.any()) == (digit is not None)


@pytest.mark.fit
@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_as_an_unbroken_one(scenes: Tiny, tmp_path: Path) -> None:
    from tests.training.test_fit import Interrupted, Interruption

    recipe = tiny_captioner("epochs=3", "scheduled_sampling=0.5", "ema=0.9", "config.decoder_config.dropout=0.2")
    with pytest.raises(Interrupted):
        fit(recipe, tmp_path / "interrupted", scenes.folder, callbacks=[Interruption()])
    resumed = fit(recipe, tmp_path / "interrupted", scenes.folder)
    unbroken = fit(recipe, tmp_path / "unbroken", scenes.folder)
    assert_same_weights(resumed, unbroken)
    assert [measured(row) for row in resumed.history] == [measured(row) for row in unbroken.history]


@pytest.mark.fit
def test_a_few_scenes_are_learnt_by_heart(scenes: Tiny, tmp_path: Path) -> None:
    recipe = tiny_captioner("epochs=60", "examples=4", "batch_size=4", "optimiser.learning_rate=0.01", "schedule={}")
    done = fit(recipe, tmp_path, scenes.folder, progress=False)
    assert done.history[-1]["train_accuracy"] > 0.95
