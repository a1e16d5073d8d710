"""A character-level LSTM that samples, as a package, and in numpy."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from tests.step_packages.writing import Array, graph_file, write_loop

LETTERS = 12
HIDDEN = 8
END_TOKEN = 0
POISON = 99
SLOTS = 8


def write_chars(
    repository: Path,
    name: str = "chars",
    version: int = 1,
    *,
    slots: int = SLOTS,
    fatal: int = -1,
    ends: bool = True,
    **changes: Any,
) -> Path:
    """A character-level LSTM: emits ``next_token`` and its ``logprob`` at every step, and answers ``next_hidden``.

    Request tensors: ``token`` (INT64, what it begins with, default 1), ``temperature`` (FP32, default 1). A row ends
    with `END_TOKEN`, where it ``ends``. One that begins with `POISON` makes its first step fail, for every row of it;
    one that has emitted the ``fatal`` token, the next.
    """
    weights = _lstm_weights(version)
    nodes = [
        helper.make_node("Equal", ["token", "fatal"], ["dies"]),
        helper.make_node("Where", ["dies", "poison", "token"], ["letter"]),
        helper.make_node("Gather", ["embedding", "letter"], ["embedded"]),
        helper.make_node("Concat", ["embedded", "hidden"], ["both"], axis=1),
        helper.make_node("Gemm", ["both", "gate_weights", "gate_bias"], ["gates"]),
        helper.make_node("Split", ["gates"], ["i", "f", "o", "g"], axis=1, num_outputs=4),
        *(helper.make_node("Sigmoid", [gate], [gate + "_open"]) for gate in "ifo"),
        helper.make_node("Tanh", ["g"], ["candidate"]),
        helper.make_node("Mul", ["f_open", "cell"], ["kept"]),
        helper.make_node("Mul", ["i_open", "candidate"], ["written"]),
        helper.make_node("Add", ["kept", "written"], ["next_cell"]),
        helper.make_node("Tanh", ["next_cell"], ["cell_tanh"]),
        helper.make_node("Mul", ["o_open", "cell_tanh"], ["next_hidden"]),
        helper.make_node("MatMul", ["next_hidden", "letters"], ["logits"]),
        helper.make_node("Unsqueeze", ["temperature", "one"], ["column"]),
        helper.make_node("Div", ["logits", "column"], ["tempered"]),
        helper.make_node("LogSoftmax", ["tempered"], ["logprobs"], axis=1),
        # The Gumbel trick: the arg-max of log-probabilities plus Gumbel noise is a sample of them.
        helper.make_node("Clip", ["uniform", "tiny", ""], ["positive"]),
        helper.make_node("Log", ["positive"], ["log_u"]),
        helper.make_node("Neg", ["log_u"], ["exponential"]),
        helper.make_node("Clip", ["exponential", "tiny", ""], ["exponential_positive"]),
        helper.make_node("Log", ["exponential_positive"], ["log_exponential"]),
        helper.make_node("Sub", ["logprobs", "log_exponential"], ["perturbed"]),
        helper.make_node("ArgMax", ["perturbed"], ["next_token"], axis=1, keepdims=0),
        helper.make_node("Unsqueeze", ["next_token", "one"], ["token_column"]),
        helper.make_node("GatherElements", ["logprobs", "token_column"], ["logprob_column"], axis=1),
        helper.make_node("Squeeze", ["logprob_column", "one"], ["logprob"]),
    ]
    poisons = {"fatal": np.array([fatal]), "poison": np.array([POISON])}
    constants = {**weights, **poisons, "one": np.array([1]), "tiny": np.float32(1e-30)}
    step = graph_file(
        "model.onnx",
        nodes,
        constants,
        [
            ("token", "INT64", [-1]),
            ("hidden", "FP32", [-1, HIDDEN]),
            ("cell", "FP32", [-1, HIDDEN]),
            ("temperature", "FP32", [-1]),
            ("uniform", "FP32", [-1, LETTERS]),
        ],
        [
            ("next_token", "INT64", [-1]),
            ("logprob", "FP32", [-1]),
            ("next_hidden", "FP32", [-1, HIDDEN]),
            ("next_cell", "FP32", [-1, HIDDEN]),
        ],
        slots,
    )
    loop: dict[str, Any] = {
        "step": step[0],
        "sources": {
            "token": {"kind": "state", "output": "next_token", "initial": {"kind": "request", "default": 1}},
            "hidden": {"kind": "state", "output": "next_hidden", "initial": {"kind": "fill"}},
            "cell": {"kind": "state", "output": "next_cell", "initial": {"kind": "fill"}},
            "temperature": {"kind": "request", "default": 1.0},
            "uniform": {"kind": "draw", "distribution": "uniform"},
        },
        "emit": ["next_token", "logprob"],
        "answer": ["next_hidden"],
        "steps": {"default": 20, "minimum": 1, "maximum": 1000},
    }
    if ends:
        loop["end"] = {"output": "next_token", "value": END_TOKEN}
    rng = np.random.default_rng(version)
    example = {
        "token": np.array([1, 2]),
        "hidden": rng.normal(size=(2, HIDDEN)).astype("f4"),
        "cell": rng.normal(size=(2, HIDDEN)).astype("f4"),
        "temperature": np.ones(2, "f4"),
        "uniform": rng.random((2, LETTERS), "f4"),
    }
    token, logprob, hidden, cell = chars_step(*example.values(), version=version)
    outputs = {"next_token": token, "logprob": logprob, "next_hidden": hidden, "next_cell": cell}
    golden = {f"step.{key}": value for key, value in (example | outputs).items()}
    return write_loop(repository, name, version, {"model.onnx": step[1]}, loop, golden, changes)


def chars_step(
    token: Array, hidden: Array, cell: Array, temperature: Array, uniform: Array, *, version: int = 1
) -> tuple[Array, Array, Array, Array]:
    """The step of `write_chars`, by numpy: (next token, its log-probability, hidden, cell)."""
    weights = _lstm_weights(version)
    both = np.concatenate([weights["embedding"][token], hidden], axis=1)
    i, f, o, g = np.split(both @ weights["gate_weights"] + weights["gate_bias"], 4, axis=1)
    cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
    hidden = _sigmoid(o) * np.tanh(cell)
    logits = hidden @ weights["letters"] / temperature[:, None]
    logprobs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    exponential = np.maximum(-np.log(np.maximum(uniform, 1e-30)), 1e-30)
    token = (logprobs - np.log(exponential)).argmax(1)
    logprob = logprobs[np.arange(len(token)), token]
    return token, logprob.astype("f4"), hidden.astype("f4"), cell.astype("f4")


def chars(
    seed: int, steps: int = 20, row: int = 0, token: int = 1, temperature: float = 1.0, *, ends: bool = True
) -> list[int]:
    """The tokens a row of a request must emit, by numpy, up to `END_TOKEN`, which is one of them."""
    return chars_row(seed, steps, row, token, temperature, ends=ends)[0]


def chars_row(
    seed: int, steps: int = 20, row: int = 0, token: int = 1, temperature: float = 1.0, *, ends: bool = True
) -> tuple[list[int], Array]:
    """The tokens of `chars`, and the hidden state (HIDDEN,) after the last."""
    generator = np.random.Generator(np.random.Philox(key=[seed, row]))
    current, hidden, cell = np.array([token]), np.zeros((1, HIDDEN), "f4"), np.zeros((1, HIDDEN), "f4")
    tokens: list[int] = []
    while len(tokens) < steps and not (ends and tokens and tokens[-1] == END_TOKEN):
        uniform = generator.random((1, LETTERS), "f4")
        current, _, hidden, cell = chars_step(current, hidden, cell, np.full(1, temperature, "f4"), uniform)
        tokens.append(int(current[0]))
    return tokens, hidden[0]


def _lstm_weights(version: int) -> dict[str, Array]:
    rng = np.random.default_rng(version)
    shapes = {
        "embedding": (LETTERS, HIDDEN),
        "gate_weights": (2 * HIDDEN, 4 * HIDDEN),
        "gate_bias": (4 * HIDDEN,),
        "letters": (HIDDEN, LETTERS),
    }
    return {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}


def _sigmoid(x: Array) -> Array:
    sigmoid: Array = 1 / (1 + np.exp(-x))
    return sigmoid
