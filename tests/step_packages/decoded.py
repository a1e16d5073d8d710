"""The toy diffusion with a decoder of its images and a part that scores them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from service.package import CARD, sha256
from tests.step_packages.diffusion import SIDE, write_diffusion
from tests.step_packages.writing import Array, graph_file

DECODER_BATCH = 4


def write_decoded(repository: Path, name: str = "decoded", *, emit: bool = False, **loop: Any) -> Path:
    """`write_diffusion` whose callers get ``pixels``, twice its image plus 1, in the place of that.

    With ``emit`` they get them of every step. ``loop`` goes into the card's loop. The part ``scorer`` gives the
    ``score`` of an ``image``, its mean.
    """
    folder = write_diffusion(repository, name)
    image = ("image", "FP32", [-1, SIDE, SIDE])
    decoder = graph_file(
        "decoder.onnx",
        [helper.make_node("Mul", ["image", "two"], ["double"]), helper.make_node("Add", ["double", "one"], ["pixels"])],
        {"two": np.float32(2), "one": np.float32(1)},
        [image],
        [("pixels", "FP32", [-1, SIDE, SIDE])],
        DECODER_BATCH,
    )
    scorer = graph_file(
        "scorer.onnx",
        [helper.make_node("ReduceMean", ["image", "sides"], ["score"], keepdims=0)],
        {"sides": np.array([1, 2])},
        [image],
        [("score", "FP32", [-1])],
        DECODER_BATCH,
    )
    images = np.random.default_rng(0).normal(size=(2, SIDE, SIDE)).astype("f4")
    with np.load(folder / "golden.npz") as golden:
        arrays: dict[str, Array] = dict(golden)
    arrays |= {"decoder.image": images, "decoder.pixels": pixels(images)}
    arrays |= {"scorer.image": images, "scorer.score": images.mean((1, 2))}
    np.savez(folder / "golden.npz", **arrays)  # type: ignore[arg-type]
    card = json.loads((folder / CARD).read_text())
    for said, content in (decoder, scorer):
        (folder / said["file"]).write_bytes(content)
        card["files"][said["file"]] = ""
    card["files"] = {file: sha256(folder / file) for file in card["files"]}
    card["loop"] |= {"decoder": decoder[0], **({"emit": ["image"]} if emit else {}), **loop}
    card["parts"] = {"scorer": scorer[0]}
    (folder / CARD).write_text(json.dumps(card))
    return folder


def pixels(images: Array) -> Array:
    """What the decoder makes, by numpy."""
    made: Array = images * np.float32(2) + np.float32(1)
    return made
