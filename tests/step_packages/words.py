"""A captioner small enough to check: a Markov chain over words, seen by an image, as a package, and in numpy."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.step_packages.writing import Array, graph_file, write_loop

WORDS = ("<pad>", "<start>", "<end>", "<unknown>", "a", "cat", "dog", "sleeps")
PAD, START, END, UNKNOWN, A, CAT, DOG, SLEEPS = range(len(WORDS))
NEVER = (PAD, START, UNKNOWN)
PLACES = 4
HISTORY = 12
SLOTS = 8
# What may follow each word, and how probable it is. Greedy begins with "a" and ends at 0.6 * 0.5 * 0.5 = 0.15;
# the best sentence is "cat sleeps", 0.4 * 0.9 * 1.
FOLLOW = {
    START: {A: 0.6, CAT: 0.4},
    A: {CAT: 0.5, DOG: 0.3, END: 0.2},
    CAT: {SLEEPS: 0.9, END: 0.1},
    DOG: {END: 0.5, SLEEPS: 0.5},
    SLEEPS: {END: 1.0},
}
BLACK = np.zeros((1, 2, 2), "u1")


def chain() -> Array:
    """The logits of the next word by the last, (words, words); specials that are never chosen are the most probable."""
    table = np.full((len(WORDS), len(WORDS)), 1e-4)
    for word, after in FOLLOW.items():
        for following, probability in after.items():
            table[word, following] = probability
    table[:, NEVER] = 3.0
    logits: Array = np.log(table)
    return logits.astype("f4")


def write_words(
    repository: Path,
    name: str = "words",
    version: int = 1,
    *,
    slots: int = SLOTS,
    table: Array | None = None,
    choice: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Chooses of the chain's `log_probabilities`, to which what it sees in ``image`` (2, 2) adds nothing if black.

    Its states are ``history``, the tokens it was given, and ``count``, how many; ``attention`` tells the last token.
    """
    table = chain() if table is None else table
    words = table.shape[0]
    seen = sight(words)
    encoder = graph_file(
        "encoder.onnx",
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["float", "flat"], ["pixels"]),
            helper.make_node("MatMul", ["pixels", "weights"], ["features"]),
        ],
        {"flat": np.array([-1, PLACES]), "weights": seen},
        [("image", "UINT8", [-1, 2, 2])],
        [("features", "FP32", [-1, words])],
        slots,
    )
    nodes = [
        helper.make_node("Gather", ["table", "token"], ["following"]),
        helper.make_node("Add", ["following", "features"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probabilities"], axis=1),
        helper.make_node("Gather", ["attentions", "token"], ["attention"]),
        helper.make_node("Unsqueeze", ["token", "one"], ["column"]),
        helper.make_node("Slice", ["history", "one", "end", "one"], ["recent"]),
        helper.make_node("Concat", ["recent", "column"], ["next_history"], axis=1),
        helper.make_node("Add", ["count", "one_more"], ["next_count"]),
    ]
    constants = {
        "table": table,
        "attentions": attentions(words),
        "one": np.array([1]),
        "end": np.array([HISTORY]),
        "one_more": np.float32(1),
    }
    step = graph_file(
        "model.onnx",
        nodes,
        constants,
        [
            ("token", "INT64", [-1]),
            ("history", "INT64", [-1, HISTORY]),
            ("count", "FP32", [-1]),
            ("features", "FP32", [-1, words]),
        ],
        [
            ("log_probabilities", "FP32", [-1, words]),
            ("attention", "FP32", [-1, PLACES]),
            ("next_history", "INT64", [-1, HISTORY]),
            ("next_count", "FP32", [-1]),
        ],
        slots,
    )
    loop: dict[str, Any] = {
        "encoder": encoder[0],
        "step": step[0],
        "sources": {
            "token": {"kind": "chosen", "initial": {"kind": "fill", "value": START}},
            "history": {"kind": "state", "output": "next_history", "initial": {"kind": "fill", "value": -1}},
            "count": {"kind": "state", "output": "next_count", "initial": {"kind": "fill"}},
            "features": {"kind": "encoder", "output": "features"},
        },
        "emit": ["token", "log_probability", "attention"],
        "answer": ["score", "next_history", "next_count"],
        "steps": {"default": 8, "maximum": HISTORY},
        "choice": {
            "output": "log_probabilities",
            "sample": {},
            "beam": {"width": {"default": 3, "maximum": slots}},
            "never": list(NEVER),
            **(choice or {}),
        },
        "end": {"output": "token", "value": END},
        "text": {"output": "token", "vocabulary": "vocabulary.txt", "separator": " "},
    }
    names = [*WORDS, *(f"word{number}" for number in range(len(WORDS), words))][:words]
    files = {"encoder.onnx": encoder[1], "model.onnx": step[1], "vocabulary.txt": "\n".join([*names, ""]).encode()}
    return write_loop(repository, name, version, files, loop, _golden(table), changes)


def write_captioner(repository: Path, name: str = "captioner", version: int = 1, **changes: Any) -> Path:
    """`write_words` as a captioner's package."""
    said = {
        "task": "caption",
        "title": "Markov chain",
        "lecture": "I2DL XI.2",
        "description": "For tests.",
        "preprocessing": {"tensor": "image", "colour": "grey", "height": 2, "width": 2},
        "attention": {"tensor": "attention", "height": 2, "width": 2},
        "provenance": {
            "recipe": {},
            "seed": version,
            "git_commit": "none",
            "created": "2026-11-21",
            "libraries": {},
            "dataset": None,
            "metrics": {},
            "parity": {},
            "parameters": 0,
            "macs": 1,
        },
    }
    return write_words(repository, name, version, **{**said, **changes})


def sight(words: int = len(WORDS)) -> Array:
    """What each pixel adds to each word's logit, (PLACES, words)."""
    return (np.random.default_rng(0).normal(size=(PLACES, words)) / 100).astype("f4")


def attentions(words: int = len(WORDS)) -> Array:
    """What is looked at after each word, (words, PLACES)."""
    return np.random.default_rng(1).random((words, PLACES)).astype("f4")


def log_probabilities(token: int, image: Array = BLACK[0], table: Array | None = None) -> Array:
    """What the step gives after ``token``, by numpy: (words,)."""
    table = chain() if table is None else table
    logits = table[token] + image.reshape(-1).astype("f4") @ sight(len(table))
    normal: Array = logits - np.log(np.exp(logits).sum())
    return normal.astype("f4")


def _golden(table: Array) -> dict[str, Array]:
    image = np.random.default_rng(2).integers(0, 256, (2, 2, 2), "u1")
    token, history, count = np.array([START, A]), np.arange(2 * HISTORY).reshape(2, HISTORY), np.ones(2, "f4")
    features = image.reshape(2, -1).astype("f4") @ sight(len(table))
    given = np.stack([log_probabilities(word, pixels, table) for word, pixels in zip(token, image, strict=True)])
    step = {
        "token": token,
        "history": history,
        "count": count,
        "features": features,
        "log_probabilities": given,
        "attention": attentions(len(table))[token],
        "next_history": np.concatenate([history[:, 1:], token[:, None]], axis=1),
        "next_count": count + 1,
    }
    return {"encoder.image": image, "encoder.features": features, **{f"step.{key}": v for key, v in step.items()}}
