"""Every row of the captioning table."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models import registry
from models.captioning.graphs import EncoderGraph, StepGraph
from models.captioning.network import CaptionNetwork
from models.captioning.rows import ROWS, VARIANTS, CaptionVariant, build, find
from models.classification import rows as classification
from models.generation import rows as generation
from models.language import recogniser as language
from models.receptive_field import receptive_fields
from models.segmentation import rows as segmentation

SMALL = [row for row in ROWS if row.input_shape[-1] <= 64]
SHIPPED_BYTES = 4_000_000


def each(rows: list[CaptionVariant]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def count(graph: torch.nn.Module, *inputs: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter:
        graph(*inputs)
    return int(counter.get_total_flops()) // 2


@each(list(ROWS))
def test_what_a_row_says_of_its_network_is_so(row: CaptionVariant) -> None:
    with torch.device("meta"):
        network = build(row.name).eval()
        channels, height, width = row.input_shape
        image = torch.zeros(1, height, width, *([3] if channels == 3 else []), dtype=torch.uint8)
        encode, step = EncoderGraph(network, [0.5] * channels, [0.5] * channels), StepGraph(network)
        assert sum(p.numel() for p in network.parameters()) == row.parameters
        assert count(encode, image) == row.macs
        assert count(step, *step.examples(1).values()) == row.word_macs
        assert max(field.side for field in receptive_fields(network.encoder).values()) == row.receptive_field
    assert network.encoder.grid == ((8, 8) if height <= 128 else (7, 7))


@each(list(ROWS))
def test_backward_reaches_every_parameter(row: CaptionVariant) -> None:
    with torch.device("meta"):
        network = build(row.name)
        tokens = torch.zeros(2, network.length, dtype=torch.int64)
        sentence = network(torch.zeros(2, *row.input_shape), tokens)
        torch.autograd.backward(sentence.logits.sum())
    assert sentence.logits.shape == (2, network.length, network.vocabulary)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name


@each(list(ROWS))
def test_a_config_that_has_been_through_json_builds_the_same(row: CaptionVariant) -> None:
    with torch.device("meta"):
        built, again = build(row.name), build(row.name, json.loads(json.dumps(row.config)))
    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in again.state_dict().items()}


def test_every_decoder_has_a_scene_row_and_no_name_is_another_tasks() -> None:
    assert [row.config["decoder"] for row in SMALL] == ["rnn", "gru", "lstm", "attention", "transformer"]
    assert len(VARIANTS) == len(ROWS)
    tables = (VARIANTS, classification.VARIANTS, segmentation.VARIANTS, language.VARIANTS, generation.VARIANTS)
    assert len(registry.ROWS) == sum(map(len, tables))


def test_the_scenes_attention_and_the_photos_fit_in_what_is_shipped_as_float16() -> None:
    assert 2 * (find("scenes-attention").parameters + find("flickr-attention").parameters) < SHIPPED_BYTES


def test_published_names_stay_so_that_a_checkpoint_of_torchvision_fits() -> None:
    with torch.device("meta"):
        backbone, classifier = build("flickr-attention-resnet50").encoder.backbone, registry.build("resnet50")
    ours, theirs = backbone.state_dict(), classifier.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items() if not name.startswith("fc.")
    }


def test_what_is_unknown_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="no model 'scenes-perceptron'; there are scenes-rnn, "):
        find("scenes-perceptron")
    with pytest.raises(KeyError, match="model 'scenes-rnn' has no 'words'"):
        build("scenes-rnn", {"words": 3})
    with pytest.raises(KeyError, match="no decoder 'mamba'; there are rnn, gru, lstm, attention, transformer"):
        CaptionNetwork("lenet5", "mamba", shape=(1, 28, 28), vocabulary=5, length=4)
