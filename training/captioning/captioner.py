"""Trains a captioner on Lightning: each word is predicted from those before it (I2DL XI.2, XII.1)."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric

from models.captioning.attention import doubly_stochastic
from models.captioning.network import CaptionNetwork
from models.layers.pixels import unit
from training.captioning.cider import Cider
from training.captioning.decoding import most_probable, write_captions
from training.captioning.recipe import CaptionerRecipe
from training.choice_learner import ChoiceLearner, ChoiceMeters
from training.craft.augmentation import augment
from training.data import CaptionSource
from training.data.caption_loading import CaptionBatch
from training.data.captions import Captions
from training.data.vocabulary import PAD, Vocabulary

UNSEEN = 1e-4  # keeps the logarithm and its gradient finite
JUDGED = 4  # batches of each process whose images are captioned after every epoch, and the captions scored


class CaptionMeters(ChoiceMeters):
    """Mean loss, the share of words predicted first, and the mean CIDEr-D of the captions that the network writes."""

    def __init__(self, words: int) -> None:
        super().__init__(words)
        self.cider_d = MeanMetric()


class Captioner(ChoiceLearner):
    """A captioning network, its recipe, and the loss of the words of the captions.

    Batches are those of `CaptionedImages`. The network reads the caption up to a word and predicts that word (teacher
    forcing); with ``scheduled_sampling``, a growing share of the words it reads are its own predictions.

    After every epoch it also writes greedy captions of the first validation images. Their CIDEr-D, in which n-grams are
    weighted by the captions ``held_out``, is what epochs and recipes are chosen by: a lower loss of people's words is
    not yet a better caption.
    """

    validation_meters: CaptionMeters

    def __init__(
        self,
        model: CaptionNetwork,
        recipe: CaptionerRecipe,
        source: CaptionSource,
        vocabulary: Vocabulary,
        description: dict[str, Any],
        held_out: Captions,
    ) -> None:
        words, pixels = len(vocabulary), (source.mean, source.std)
        super().__init__(model, recipe, words, pixels, description, lambda: CaptionMeters(words))
        self.network, self.recipe, self.vocabulary = model, recipe, vocabulary
        # Words that have no token are the unknown one in the references of `validation_step`, and so here.
        self.judge = Cider([[vocabulary.decode(vocabulary.encode(text)) for text in texts] for texts in held_out])

    @property
    def fresh(self) -> Collection[str]:
        """The parameters outside the encoder's backbone, or none if the recipe transfers the whole network."""
        if self.recipe.transfer and self.recipe.transfer.fresh == ():
            return ()
        kept = {name for name, _ in self.network.encoder.backbone.named_parameters()}
        return tuple(
            name for name, _ in self.network.named_parameters() if name.removeprefix("encoder.backbone.") not in kept
        )

    def losses(self, network: nn.Module, batch: CaptionBatch) -> tuple[Tensor, ...]:
        """The mean cross-entropy of the words."""
        images, places, tokens, _ = batch
        assert isinstance(network, CaptionNetwork)
        features = network.encoder(self.normalised(unit(images)))[places]
        sentence = network.decoder(tokens[:, :-1], features)
        real = tokens[:, 1:] != PAD
        return (cross_entropy(sentence.logits[real], tokens[:, 1:][real]),)

    def training_step(self, batch: CaptionBatch, batch_idx: int) -> Tensor:
        """The loss of the captions for the distorted images."""
        images, places, tokens, looks = trimmed(batch)
        features = self.seen(images)[places]  # (B, L, D) -> (N, L, D)
        sentence = self.network.decoder(self._read(tokens[:, :-1], features), features)
        real = tokens[:, 1:] != PAD
        logits, wanted = sentence.logits[real], tokens[:, 1:][real]  # (M, V), (M,): the words of all captions
        value = cross_entropy(logits, wanted, label_smoothing=self.recipe.label_smoothing)
        if self.recipe.doubly_stochastic and sentence.attention is not None:
            value = value + self.recipe.doubly_stochastic * doubly_stochastic(sentence.attention, real)
        self.measure("train", value, logits, wanted)
        if self.recipe.supervised_attention and sentence.attention is not None:
            value = value + self.recipe.supervised_attention * overlooked(sentence.attention, looks)
        return value

    def encode(self, images: Tensor) -> Tensor:
        """The features (B, L, D) of uint8 ``images``, without distortions."""
        features: Tensor = self.network.encoder(self.normalised(unit(images)))
        return features

    def seen(self, images: Tensor) -> Tensor:
        """The features (B, L, D) of ``images``, distorted by the step's seed, which also seeds the draws after it."""
        seed = self.draw()
        images = self.normalised(augment(unit(images), self.recipe.augmentation, seed))  # (B, C, H, W)
        # The network's own draws, such as dropout's masks, get a negative seed, unlike that of the distortions.
        torch.manual_seed(-1 - seed)
        features: Tensor = self.network.encoder(images)
        return features

    def validation_step(self, batch: CaptionBatch, batch_idx: int) -> None:
        """Measure images without distortions: the words predicted after people's, and captions of the network's own.

        The loss is the plain cross-entropy, whatever the recipe adds to it in training.
        """
        images, places, tokens, _ = trimmed(batch)
        features = self.encode(images)  # (B, L, D)
        sentence = self.network.decoder(tokens[:, :-1], features[places])
        if batch_idx < JUDGED:
            self.validation_meters.cider_d.update(self.worth(features, tokens, places))
        real = tokens[:, 1:] != PAD
        logits, wanted = sentence.logits[real], tokens[:, 1:][real]
        self.measure("validation", cross_entropy(logits, wanted), logits, wanted)

    def worth(self, features: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
        """The CIDEr-D (B,) of greedy captions for ``features`` (B, L, D), against the ``tokens`` of people's captions.

        ``tokens`` (N, T) and ``places`` (N,) are those of a `CaptionBatch`.
        """
        references: list[list[str]] = [[] for _ in features]
        for place, row in zip(places.tolist(), tokens.tolist(), strict=True):
            references[place].append(self.vocabulary.decode(row))
        written = write_captions(self.network.decoder, features, self.network.length, most_probable)
        texts = [self.vocabulary.decode(row) for row in written.tolist()]
        return torch.tensor([self.judge.score(*each) for each in zip(texts, references, strict=True)])

    def _read(self, tokens: Tensor, features: Tensor) -> Tensor:
        """The tokens that the network reads: ``tokens`` (N, T), with some replaced by words that it draws itself.

        They are drawn for all positions at once, each after the caption's own words (Duckworth et al. 2019,
        arXiv:1906.04331), while Bengio et al. (2015, arXiv:1506.03099) draw one after the other. Their share grows
        linearly with the epochs.
        """
        share = self.recipe.scheduled_sampling * self.current_epoch / max(1, self.recipe.epochs - 1)
        if not share:
            return tokens
        with torch.no_grad():
            logits = self.network.decoder(tokens, features.detach()).logits[:, :-1]  # (N, T - 1, V)
            drawn = torch.multinomial(logits.float().softmax(2).flatten(0, 1), 1).reshape(logits.shape[:2])
        own = (torch.rand(drawn.shape, device=tokens.device) < share) & (tokens[:, 1:] != PAD)
        return torch.cat((tokens[:, :1], torch.where(own, drawn, tokens[:, 1:])), 1)


def trimmed(batch: CaptionBatch) -> CaptionBatch:
    """``batch`` cut to the length of its longest caption."""
    images, places, tokens, looks = batch
    longest = int((tokens != PAD).sum(1).max())
    return images, places, tokens[:, :longest], looks[:, :longest]


def overlooked(attention: Tensor, looks: Tensor) -> Tensor:
    """The cross-entropy between the attention (N, T, L) and the places to look at, a mean over words that have places.

    ``looks`` (N, words, L) has the share of each place in 255ths (the strong supervision of Liu et al. 2017,
    arXiv:1605.09553). Attention in proportion to the shares gives the centre of a digit to less than a place.
    """
    steps = min(attention.shape[1], looks.shape[1])
    shares = looks[:, :steps].to(attention.dtype)
    wanted = shares.any(2)
    if not wanted.any():
        return attention.new_zeros(())
    shares, logs = shares[wanted], torch.log(attention[:, :steps][wanted] + UNSEEN)  # (words with places, L)
    return -(shares * logs).sum(1).div(shares.sum(1)).mean()
