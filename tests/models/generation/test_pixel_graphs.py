"""What a PixelCNN's graphs add to it."""

import math
from pathlib import Path

import pytest
import torch

from models.generation.pixel_graphs import PixelScore, PixelStep
from tests.models.generation.exporting import check_parity
from tests.models.generation.test_pixelcnn import each, thin


@each
@torch.no_grad()
def test_the_steps_of_one_image_give_its_likelihood(family: str) -> None:
    model = thin(family, (3, 9), 3, classes=2).float()
    step, score = PixelStep(model), PixelScore(model)
    image = torch.randint(256, (2, 3, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    label = torch.tensor([1, 0])
    given = step.examples(2) | {"label": label}
    total = torch.zeros(2)
    levels = image.flatten(1).long() * 3 // 256
    for level in levels.unbind(1):
        found = dict(zip(step.outputs, step(*given.values()), strict=True))
        assert found["log_probabilities"].exp().sum(1).tolist() == pytest.approx([1, 1])
        total += found["log_probabilities"].gather(1, level.unsqueeze(1)).squeeze(1)
        given |= {name: found[output] for output, name in step.fed.items()} | {"pixel": level}
    canvas = step(*given.values())[step.outputs.index("next_canvas")]
    assert torch.equal(canvas.flatten(1), torch.tensor([0, 127, 255], dtype=torch.uint8)[levels])
    nats, bits = score(image, label)
    torch.testing.assert_close(nats, total, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bits, -total / math.log(2) / 27, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_known_pixel_is_certain_and_a_free_one_as_before() -> None:
    step = PixelStep(thin("gated", (3, 9), 3).float())
    given = step.examples(2)
    free = step(*given.values())[0]
    given["known"], given["mask"] = torch.full((2, 3, 9), 255, dtype=torch.uint8), torch.zeros_like(given["mask"])
    given["mask"][0, 0, 0] = 255
    found = step(*given.values())[0]
    assert found[0].tolist() == [-math.inf, -math.inf, 0]
    assert torch.equal(found[1], free[1])


@torch.no_grad()
def test_of_two_levels_128_and_above_are_white() -> None:
    score = PixelScore(thin("masked", (3, 9)).float())
    dark, bright = torch.full((1, 3, 9), 127, dtype=torch.uint8), torch.full((1, 3, 9), 128, dtype=torch.uint8)
    assert torch.equal(score(dark)[0], score(torch.zeros_like(dark))[0])
    assert torch.equal(score(bright)[0], score(torch.full_like(dark, 255))[0])
    assert not torch.equal(score(dark)[0], score(bright)[0])


@pytest.mark.export
@pytest.mark.parametrize(("family", "levels", "classes"), [("masked", 2, 0), ("gated", 5, 3)])
def test_a_step_under_onnx_runtime_is_torchs(family: str, levels: int, classes: int, tmp_path: Path) -> None:
    step = PixelStep(thin(family, (4, 9), levels, classes=classes).float())
    draw = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(tensor.shape, generator=draw) for name, tensor in step.examples(3).items()}
    inputs["pixel"], inputs["position"] = torch.tensor([levels - 1, 0, 1]), torch.tensor([0, 20, 36])
    for name in ("known", "mask", "canvas"):
        inputs[name] = torch.randint(2, (3, 4, 9), generator=draw, dtype=torch.uint8) * 255
    if classes:
        inputs["label"] = torch.tensor([2, 0, 1])
    check_parity(step, step.examples(), inputs, tmp_path / "step.onnx")


@pytest.mark.export
def test_a_score_under_onnx_runtime_is_torchs(tmp_path: Path) -> None:
    score = PixelScore(thin("gated", (4, 9), 5, classes=3).float())
    image = torch.randint(256, (3, 4, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    check_parity(score, score.examples(), {"image": image, "label": torch.tensor([2, 0, 1])}, tmp_path / "score.onnx")
