"""Self-critical training: the network draws captions, and learns from their scores against people's captions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from models.captioning.network import CaptionNetwork
from training.captioning.captioner import Captioner, trimmed
from training.captioning.cider import Cider
from training.captioning.decoding import allowed, draw, write_captions
from training.captioning.recipe import CaptionerRecipe
from training.data import CaptionSource
from training.data.caption_loading import CaptionBatch
from training.data.captions import Captions
from training.data.vocabulary import END, PAD, Vocabulary


class SelfCritical(Captioner):
    """Policy gradient with CIDEr-D as the reward (Rennie et al. 2017, arXiv:1612.00563).

    For each image, ``self_critical`` captions are drawn, word by word. Each becomes more probable by how far its reward
    exceeds the mean of the others of its image (Luo 2020, arXiv:2003.09971). The end token counts as a word in the
    reward, or captions would learn to stop too early. Dropout is off, so that the network that draws is the one that
    is trained.
    """

    def __init__(
        self,
        model: CaptionNetwork,
        recipe: CaptionerRecipe,
        source: CaptionSource,
        vocabulary: Vocabulary,
        description: dict[str, Any],
        held_out: Captions,
        captions: Captions,
    ) -> None:
        super().__init__(model, recipe, source, vocabulary, description, held_out)
        self.cider = Cider([[f"{text} {vocabulary.words[END]}" for text in texts] for texts in captions])

    def training_step(self, batch: CaptionBatch, batch_idx: int) -> Tensor:
        """The loss of captions drawn for distorted images; the epoch's metrics are of the drawn words."""
        images, places, tokens, _ = trimmed(batch)
        self.network.decoder.eval()
        features = self.seen(images).repeat_interleave(self.recipe.self_critical, 0)  # (B, L, D) -> (N, L, D)
        drawn = write_captions(self.network.decoder, features.detach(), self.network.length, draw)  # (N, 1 + T)
        rewards = self.rewards(drawn[:, 1:], tokens[:, 1:], places).to(drawn.device)  # (B, captions per image)
        worth = advantage(rewards).flatten()  # (N,)

        words = drawn[:, 1:]
        real = words != PAD
        logits = allowed(self.network.decoder(drawn[:, :-1], features).logits)
        said = log_softmax(logits[real], 1).gather(1, words[real].unsqueeze(1)).squeeze(1)  # (M,)
        self.measure("train", -said.mean(), logits[real], words[real])
        self.log("train_reward", rewards.mean(), on_step=False, on_epoch=True, prog_bar=True)
        return -(worth.unsqueeze(1).expand_as(words)[real] * said).mean()

    def rewards(self, drawn: Tensor, captions: Tensor, places: Tensor) -> Tensor:
        """The CIDEr-D of each drawn caption, (B, captions per image), against people's ``captions`` of its image."""
        references: dict[int, list[str]] = {}
        for place, row in zip(places.tolist(), captions.tolist(), strict=True):
            references.setdefault(place, []).append(self._text(row))
        count = self.recipe.self_critical
        texts = [self._text(row) for row in drawn.tolist()]
        scores = [self.cider.score(text, references[row // count]) for row, text in enumerate(texts)]
        return torch.tensor(scores).reshape(-1, count)

    def _text(self, tokens: Sequence[int]) -> str:
        return " ".join(self.vocabulary.words[token] for token in tokens if token != PAD)


def advantage(rewards: Tensor) -> Tensor:
    """By how much each of the rewards (B, K) exceeds the mean of the others in its row."""
    count = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * (count / (count - 1))
