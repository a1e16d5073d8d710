"""A toy diffusion with an encoder, as a package, and in numpy."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.step_packages.writing import Array, graph_file, write_loop

SIDE = 4
LABELS = 3
# The last timestep is not 0: there the image would be the pattern, whatever was drawn.
FIRST, LAST = 100, 10
SLOTS = 8


def write_diffusion(
    repository: Path, name: str = "diffusion", version: int = 1, *, slots: int = SLOTS, **changes: Any
) -> Path:
    """A toy diffusion: a noisy image moves to a pattern of the label that its encoder makes.

    Request tensors: ``label`` (INT64), below `LABELS`; any other makes the encoder fail, for every row of its run.
    It emits nothing and answers ``image`` (FP32, (SIDE, SIDE)) at its end.
    """
    pattern_of = patterns(version)
    encoder = graph_file(
        "encoder.onnx",
        [helper.make_node("Gather", ["patterns", "label"], ["pattern"])],
        {"patterns": pattern_of},
        [("label", "INT64", [-1])],
        [("pattern", "FP32", [-1, SIDE, SIDE])],
        slots,
    )
    nodes = [
        helper.make_node("Cast", ["t"], ["now"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["t_next"], ["then"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["then", "now"], ["ratio_flat"]),
        helper.make_node("Reshape", ["ratio_flat", "column"], ["ratio"]),
        helper.make_node("Sub", ["latent", "target"], ["rest"]),
        helper.make_node("Mul", ["rest", "ratio"], ["less"]),
        helper.make_node("Add", ["target", "less"], ["mean"]),
        helper.make_node("Mul", ["ratio", "small"], ["sigma"]),
        helper.make_node("Mul", ["noise", "sigma"], ["jitter"]),
        helper.make_node("Add", ["mean", "jitter"], ["image"]),
    ]
    image = [-1, SIDE, SIDE]
    step = graph_file(
        "model.onnx",
        nodes,
        {"column": np.array([-1, 1, 1]), "small": np.float32(0.1)},
        [
            ("latent", "FP32", image),
            ("target", "FP32", image),
            ("noise", "FP32", image),
            ("t", "INT64", [-1]),
            ("t_next", "INT64", [-1]),
        ],
        [("image", "FP32", image)],
        slots,
    )
    normal = {"kind": "draw", "distribution": "normal"}
    loop = {
        "encoder": encoder[0],
        "step": step[0],
        "sources": {
            "latent": {"kind": "state", "output": "image", "initial": normal},
            "target": {"kind": "encoder", "output": "pattern"},
            "noise": normal,
            "t": {"kind": "schedule", "first": FIRST, "last": LAST},
            "t_next": {"kind": "schedule", "first": FIRST, "last": LAST, "offset": 1},
        },
        "answer": ["image"],
        "steps": {"default": 10, "minimum": 1, "maximum": 100},
    }
    rng = np.random.default_rng(version)
    label = np.array([0, 1])
    latent, noise = rng.normal(size=(2, 2, SIDE, SIDE)).astype("f4")
    t, t_next = np.array([100, 50]), np.array([90, 25])
    golden = {
        "encoder.label": label,
        "encoder.pattern": pattern_of[label],
        "step.latent": latent,
        "step.target": pattern_of[label],
        "step.noise": noise,
        "step.t": t,
        "step.t_next": t_next,
        "step.image": diffusion_step(latent, pattern_of[label], noise, t, t_next),
    }
    return write_loop(
        repository, name, version, {"encoder.onnx": encoder[1], "model.onnx": step[1]}, loop, golden, changes
    )


def diffusion_step(latent: Array, target: Array, noise: Array, t: Array, t_next: Array) -> Array:
    """The step of `write_diffusion`, by numpy."""
    ratio = (t_next.astype("f4") / t.astype("f4"))[:, None, None]
    image: Array = (target + (latent - target) * ratio + noise * ratio * np.float32(0.1)).astype("f4")
    return image


def diffusion(seed: int, label: int, steps: int = 10, row: int = 0) -> Array:
    """The image `write_diffusion` must answer, by numpy, (SIDE, SIDE)."""
    generator = np.random.Generator(np.random.Philox(key=[seed, row]))
    latent = generator.standard_normal((1, SIDE, SIDE), "f4")
    target = patterns()[[label]]
    for k in range(steps):
        t, t_next = (np.rint(FIRST + (LAST - FIRST) * np.array([j / steps])).astype("i8") for j in (k, k + 1))
        latent = diffusion_step(latent, target, generator.standard_normal((1, SIDE, SIDE), "f4"), t, t_next)
    image: Array = latent[0]
    return image


def patterns(version: int = 1) -> Array:
    """What each label becomes, (LABELS, SIDE, SIDE)."""
    return np.random.default_rng(version).normal(size=(LABELS, SIDE, SIDE)).astype("f4")
