"""The two graphs of every decoder under ONNX Runtime, beside torch's teacher forcing."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from models.captioning.graphs import EncoderGraph, StepGraph
from models.captioning.network import DECODERS, CaptionNetwork
from tests.models.captioning.decoders import OPTIONS, SMALL
from training.export.onnx_file import OPSET

pytestmark = pytest.mark.export

# An export takes seconds; what differs here is what the graphs differ in.
EXPORTED = (*DECODERS, "gru, the image once", "attention, tied", "transformer, sinusoidal")
MEAN, STD, WORDS, LENGTH = (0.3,), (0.4,), 11, 5


def network(option: str) -> CaptionNetwork:
    """Small, with words far apart."""
    torch.manual_seed(0)
    name, more = OPTIONS[option]
    sizes: dict[str, Any] = {"shape": (1, 16, 16), "vocabulary": WORDS, "length": LENGTH, "features": 6}
    backbone = {"widths": ((4,), (4,)), "normalisation": "none"}
    found = CaptionNetwork("vgg7-28", name, backbone_config=backbone, decoder_config={**SMALL, **more}, **sizes)
    for key, parameter in found.named_parameters():
        if key == "decoder.words.scores.weight":
            nn.init.normal_(parameter)
    return found.eval()


def session(graph: EncoderGraph | StepGraph, examples: dict[str, torch.Tensor], path: Path) -> ort.InferenceSession:
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    batch = torch.export.Dim("batch")
    token, *rest = ({0: batch} for _ in examples)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", ".*The axis name: batch will not be used", UserWarning)
        torch.onnx.export(
            graph,
            tuple(examples.values()),
            path,
            dynamo=True,
            input_names=list(examples),
            output_names=list(graph.outputs),
            dynamic_shapes=(token, tuple(rest)) if isinstance(graph, StepGraph) else (token,),
            opset_version=OPSET,
            verbose=False,
        )
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def shapes(tensors: list[Any]) -> dict[str, list[Any]]:
    return {tensor.name: tensor.shape for tensor in tensors}


@pytest.mark.slow
@pytest.mark.parametrize("option", EXPORTED)
def test_steps_under_onnx_runtime_are_torchs_teacher_forcing(option: str, tmp_path: Path) -> None:
    model = network(option)
    step = StepGraph(model).eval()
    encoder = session(
        EncoderGraph(model, MEAN, STD).eval(), {"image": torch.zeros(2, 16, 16, dtype=torch.uint8)}, tmp_path / "e.onnx"
    )
    steps = session(step, step.examples(), tmp_path / "s.onnx")
    assert tuple(tensor.name for tensor in steps.get_inputs()) == step.inputs
    assert tuple(tensor.name for tensor in steps.get_outputs()) == step.outputs
    for tensor in (*steps.get_inputs(), *steps.get_outputs(), *encoder.get_outputs()):
        assert tensor.shape[0] == "batch", tensor.name
        assert all(isinstance(size, int) for size in tensor.shape[1:]), tensor.name
    fed, given, encoded = shapes(steps.get_inputs()), shapes(steps.get_outputs()), shapes(encoder.get_outputs())
    for output, name in step.fed.items():
        assert given[output] == fed[name]
    for name, shape in encoded.items():
        assert shape == fed[name]
    assert set(encoded).isdisjoint(model.decoder.fills)
    assert set(encoded) | set(model.decoder.fills) | {"token"} == set(fed)
    images = torch.randint(256, (3, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    words = torch.randint(WORDS, (3, LENGTH), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        wanted = model((images[:, None].float() / 255 - MEAN[0]) / STD[0], words)
    for batch in (1, 3):
        state = dict(zip(encoded, encoder.run(None, {"image": images[:batch].numpy()}), strict=True))
        for name, value in model.decoder.fills.items():
            dtype = np.int64 if name == "position" else np.float32
            state[name] = np.full((batch, *fed[name][1:]), value, dtype)
        for t in range(LENGTH):
            found = dict(zip(given, steps.run(None, {"token": words[:batch, t].numpy(), **state}), strict=True))
            expected = torch.log_softmax(wanted.logits[:batch, t], 1).numpy()
            np.testing.assert_allclose(found["log_probabilities"], expected, rtol=1e-4, atol=1e-5)
            assert ("attention" in found) == model.decoder.attends
            if wanted.attention is not None:
                np.testing.assert_allclose(found["attention"], wanted.attention[:batch, t].numpy(), atol=1e-5)
            state |= {name: found[output] for output, name in step.fed.items()}


@pytest.mark.slow
def test_tied_words_are_stored_once(tmp_path: Path) -> None:
    step = StepGraph(network("attention, tied")).eval()
    session(step, step.examples(), tmp_path / "s.onnx")
    weights = sum(p.numel() for p in step.parameters()) * 4
    unused = sum(p.numel() for name, p in step.named_parameters() if name.startswith(("decoder.first", "decoder.key")))
    table = WORDS * SMALL["width"] * 4
    stored = sum(
        int(np.prod(tensor.dims)) * 4
        for tensor in onnx.load(tmp_path / "s.onnx").graph.initializer
        if tensor.data_type == 1
    )
    assert stored < weights - 4 * unused + table / 2


def test_two_graphs_say_the_same_of_names_whatever_the_decoder() -> None:
    for option in OPTIONS:
        model = network(option)
        encoder, step = EncoderGraph(model, MEAN, STD), StepGraph(model)
        assert list(step.examples()) == list(step.inputs)
        assert set(encoder.outputs).isdisjoint(encoder.inputs)
        assert set(step.outputs).isdisjoint(step.inputs)
        assert set(encoder.outputs) <= set(step.inputs)
