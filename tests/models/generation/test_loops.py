"""The step graphs as the engine's loops: where each of their inputs comes from."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.generation.denoising import DenoisingStep
from models.generation.flow_graphs import FlowSampler
from models.generation.pixel_graphs import PixelStep
from service.package.loop import Loop
from tests.models.generation.test_diffusion import T, diffusion
from tests.models.generation.test_flows import flow
from tests.models.generation.test_pixelcnn import each, thin

DATATYPES = {torch.float32: "FP32", torch.int64: "INT64", torch.uint8: "UINT8"}
NORMAL = {"kind": "draw", "distribution": "normal"}


def asked(default: float) -> dict[str, Any]:
    return {"kind": "request", "default": default}


def state(name: str, initial: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"kind": "state", "output": f"next_{name}", "initial": initial or {"kind": "fill", "value": 0}}


def specs(tensors: dict[str, Tensor]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": DATATYPES[tensor.dtype], "shape": [-1, *tensor.shape[1:]]}
        for name, tensor in tensors.items()
    ]


@torch.no_grad()
def loop(graph: Any, sources: dict[str, Any], steps: int, image: str, **more: Any) -> Loop:
    """A loop of the graph, validated as one of a card is."""
    given = graph.examples()
    made = dict(zip(graph.outputs, graph(*given.values()), strict=True))
    step = {"file": "step.onnx", "inputs": specs(given), "outputs": specs(made), "max_batch": 16}
    count = {"default": steps, "minimum": 1, "maximum": steps}
    return Loop.model_validate({"step": step, "sources": sources, "emit": [image], "steps": count, **more})


@each
@pytest.mark.parametrize("classes", [0, 3])
def test_a_pixel_step_is_a_loop_that_chooses_pixels(family: str, classes: int) -> None:
    step = PixelStep(thin(family, (3, 9), 4, classes=classes).float())
    sources = {
        "pixel": {"kind": "chosen", "initial": {"kind": "fill", "value": 0}},
        **{name: asked(0) for name in step.request},
        **{name: state(name) for name in step.state},
    }
    choice = {"output": "log_probabilities", "default": "sample", "sample": {}}
    made = loop(step, sources, 3 * 9 + 1, "next_canvas", choice=choice)
    assert sorted(made.defaults) == sorted(step.request)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_denoising_step_is_a_loop_with_a_schedule_of_timesteps(classes: int) -> None:
    step = DenoisingStep(diffusion(classes), margin=1)
    times = {"kind": "schedule", "first": T - 1, "last": -1}
    sources = {
        "latent": state("latent", NORMAL),
        "timestep": times,
        "previous": {**times, "offset": 1},
        "noise": NORMAL,
        "eta": asked(0.0),
        "known": asked(0),
        "mask": asked(0),
        **({"label": asked(classes), "guidance": asked(1.0)} if classes else {}),
    }
    assert loop(step, sources, T, "image").outputs[0].shape == (-1, 6, 6)


def test_a_flows_sampler_is_a_loop_of_one_step() -> None:
    sampler = FlowSampler(flow("glow, three channels"))
    made = loop(sampler, {"latent": NORMAL, "temperature": asked(1.0)}, 1, "image")
    assert made.outputs[0].shape == (-1, 4, 4, 3)
