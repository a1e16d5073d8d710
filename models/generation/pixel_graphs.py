"""The two graphs that serve a PixelCNN: one takes a step for each pixel, the other scores whole images."""

import torch
from torch import Tensor, nn

from models.generation.autoregressive import PixelModel
from models.generation.levels import bits_per_dim, brightness, log_probabilities, quantise

PIXEL, POSITION, LABEL, CANVAS, KNOWN, MASK = "pixel", "position", "label", "canvas", "known", "mask"
IMAGE, LOG_PROBABILITIES, LOG_LIKELIHOOD, BITS_PER_DIM = "image", "log_probabilities", "log_likelihood", "bits_per_dim"


class PixelStep(nn.Module):
    """The pixel before, the position and the state -> log-probabilities (B, levels) of the next pixel, and the state.

    ``inputs`` are ``pixel`` (B,) int64, the level chosen last (not read at position 0); ``label`` (B,) int64 if there
    are classes; ``known`` and ``mask`` uint8 (B, H, W): where the mask is not 0, the pixel is given, so that a part of
    an image is drawn after the rest; ``position`` (B,) int64; ``canvas`` uint8 (B, H, W), the image so far; and the
    model's lines. The last three are states, 0 at first.

    ``outputs`` are ``log_probabilities``, in which a given level has 0 and all others -inf, and the new state under
    ``next_`` names, which ``fed`` maps to the names of the inputs. A step puts the pixel before on the canvas, so an
    image takes a step more than it has pixels. All shapes except the batch are fixed.
    """

    def __init__(self, model: PixelModel) -> None:
        super().__init__()
        self.model = model
        self.request = (*((LABEL,) if model.classes else ()), KNOWN, MASK)
        self.state = (POSITION, CANVAS, *model.lines)
        self.inputs = (PIXEL, *self.request, *self.state)
        self.fed = {f"next_{name}": name for name in self.state}
        self.outputs = (LOG_PROBABILITIES, *self.fed)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The tensors of ``outputs`` for those of ``inputs``, in these orders."""
        given = dict(zip(self.inputs, tensors, strict=True))
        pixel, position, levels = given[PIXEL], given[POSITION], self.model.levels
        logits, after = self.model.step(
            pixel, position, {name: given[name] for name in self.model.lines}, given.get(LABEL)
        )
        places = torch.arange(given[CANVAS][0].numel()).reshape(self.model.size)  # (H, W)
        before = places == (position - 1)[:, None, None]  # (B, H, W)
        canvas = torch.where(before, brightness(pixel, levels)[:, None, None], given[CANVAS])
        here = position.clamp(max=places.numel() - 1).unsqueeze(1)  # (B, 1); the last step only ends the canvas
        fixed = given[MASK].flatten(1).gather(1, here) > 0  # (B, H W) -> (B, 1)
        known = quantise(given[KNOWN].flatten(1).gather(1, here), levels)
        certain = torch.where(known == torch.arange(levels), 0.0, -torch.inf)  # (B, levels)
        chances = torch.where(fixed, certain, log_probabilities(logits))
        return chances, position + 1, canvas, *(after[name] for name in self.model.lines)

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input, for the first pixel of an image of which nothing is known.

        No two are the same tensor: torch's export would take them for one input.
        """
        numbers = {name: torch.zeros(rows, dtype=torch.int64) for name in (PIXEL, POSITION, LABEL)}
        images = {name: torch.zeros(rows, *self.model.size, dtype=torch.uint8) for name in (KNOWN, MASK, CANVAS)}
        examples = {**numbers, **images, **self.model.start(torch.zeros(rows))}
        return {name: examples[name] for name in self.inputs}


class PixelScore(nn.Module):
    """uint8 images (B, H, W), and a ``label`` (B,) int64 if there are classes -> their likelihood.

    ``outputs`` are ``log_likelihood`` in nats and ``bits_per_dim``, (B,) float32 each, of the image in the model's
    levels.
    """

    outputs = (LOG_LIKELIHOOD, BITS_PER_DIM)

    def __init__(self, model: PixelModel) -> None:
        super().__init__()
        self.model = model
        self.inputs = (IMAGE, *((LABEL,) if model.classes else ()))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """The tensors of ``outputs`` for those of ``inputs``, in these orders."""
        given = dict(zip(self.inputs, tensors, strict=True))
        height, width = self.model.size
        nats = self.model.log_likelihood(quantise(given[IMAGE], self.model.levels), given.get(LABEL))
        return nats, bits_per_dim(nats, height * width)

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input."""
        image = torch.zeros(rows, *self.model.size, dtype=torch.uint8)
        examples = {IMAGE: image, LABEL: torch.zeros(rows, dtype=torch.int64)}
        return {name: examples[name] for name in self.inputs}
