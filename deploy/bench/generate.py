"""Generators: the incremental step of a PixelCNN beside a whole forward pass for each pixel.

Bare ONNX Runtime, 16 samples at a time; fresh weights, since the time does not depend on them. The two take turns.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.bench.plan import Plan
from deploy.bench.table import Row, at_least, at_most, median_row
from models.generation.autoregressive import PixelModel
from models.generation.levels import centre, log_probabilities
from models.generation.pixel_graphs import LOG_PROBABILITIES, PIXEL, PixelStep
from models.generation.rows import build
from training.export.onnx_file import open_onnx, save, trace

FOLDER = Path("build/bench/generate")
NAMES = ("pixelcnn", "gated-pixelcnn")
SAMPLES = 16
FASTER, APART = at_least(50), at_most(1e-4)


class Whole(nn.Module):
    """All pixels of images (B, H, W) int64 -> the log-probabilities (B, levels, H, W) of each, given those before."""

    outputs = (LOG_PROBABILITIES,)

    def __init__(self, model: PixelModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        """The ``log_probabilities``."""
        return (log_probabilities(self.model(centre(pixels, self.model.levels).unsqueeze(1))),)


def rows(plan: Plan) -> Iterator[Row]:
    """For each network, how many times faster a step is than a whole pass, and how far apart their answers are."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        yield from compared(name, plan.rounds)


@torch.no_grad()
def compared(name: str, rounds: int) -> Iterator[Row]:
    """The rows of the network ``name``, a row of the model table without classes."""
    torch.manual_seed(0)
    model = build(name).eval()
    assert isinstance(model, PixelModel)
    pixels = np.random.default_rng(0).integers(0, model.levels, (SAMPLES, *model.size))
    whole, step = Whole(model).eval(), PixelStep(model).eval()
    save(trace(whole, {"pixels": torch.zeros(2, *model.size, dtype=torch.int64)}, whole.outputs), FOLDER / "whole.onnx")
    save(trace(step, step.examples(), step.outputs), FOLDER / "step.onnx")
    whole_session, step_session = open_onnx(FOLDER / "whole.onnx"), open_onnx(FOLDER / "step.onnx")
    ratios, step_ms, apart = [], [], 0.0
    for _ in range(rounds + 1):  # the first one warms up
        began = time.perf_counter()
        (wanted,) = whole_session.run(None, {"pixels": pixels})
        pass_s = time.perf_counter() - began
        began = time.perf_counter()
        found = image(step, step_session, pixels)
        step_s = (time.perf_counter() - began) / len(found)
        ratios.append(pass_s / step_s)
        step_ms.append(1000 * step_s)
        by_pixel = wanted.reshape(SAMPLES, model.levels, -1).transpose(2, 0, 1)  # (H W, B, levels)
        apart = max(apart, float(np.abs(found - by_pixel).max()))
    beside = {"step ms": statistics.median(step_ms[1:])}
    yield median_row(f"{name}, a step over a pass for each pixel", ratios[1:], "times", FASTER, **beside)
    yield Row(f"{name}, a step's largest difference from the pass", apart, "of a log-probability", APART)


def image(step: PixelStep, session: ort.InferenceSession, pixels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The log-probabilities (H W, B, levels) that the steps give for images ``pixels`` (B, H, W)."""
    given = {name: tensor.numpy() for name, tensor in step.examples(len(pixels)).items()}
    found = []
    for pixel in pixels.reshape(len(pixels), -1).T:
        answers = dict(zip(step.outputs, session.run(list(step.outputs), given), strict=True))
        found.append(answers[LOG_PROBABILITIES])
        given |= {name: answers[output] for output, name in step.fed.items()} | {PIXEL: pixel}
    return np.stack(found)
