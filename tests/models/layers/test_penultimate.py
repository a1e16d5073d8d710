"""The penultimate layer of every family: what the last linear layer takes, found without its help."""

import pytest
import torch
from torch import nn

from models.classification.rows import build
from models.layers.penultimate import Penultimate
from models.variant import Variant
from tests.models.rows import GREY, each, images, seasoned, takes

HIDDEN = [variant for variant in GREY if variant.name not in ("softmax", "logistic", "neighbours")]


@each(HIDDEN)
@torch.no_grad()
def test_the_features_are_scored_by_the_last_linear_layer_and_the_logits_are_the_networks(variant: Variant) -> None:
    network = seasoned(variant)
    found = Penultimate(network)
    x = images(variant, 3)
    logits, features = found(x)
    torch.testing.assert_close(logits, network(x), rtol=0, atol=0)
    scores = network.get_submodule(found.layer)
    assert isinstance(scores, nn.Linear)
    assert features.shape == (3, scores.in_features)
    torch.testing.assert_close(scores(features), logits, rtol=0, atol=0)


@each([variant for variant in HIDDEN if takes(variant, "dropout")])
@torch.no_grad()
def test_nothing_is_dropped(variant: Variant) -> None:
    found = Penultimate(build(variant.name, {"dropout": 0.9}).train())
    first, second = (found(images(variant, 2))[1] for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_it_has_the_networks_own_parameters_by_the_same_names() -> None:
    network = build("lenet5")
    found = dict(Penultimate(network).named_parameters())
    assert list(found) == [f"network.{name}" for name, _ in network.named_parameters()]
    assert found["network.output.weight"] is network.get_parameter("output.weight")


@pytest.mark.parametrize(
    ("name", "config"), [("softmax", {}), ("logistic", {}), ("neighbours", {}), ("mlp", {"hidden": ()})]
)
def test_what_learns_nothing_before_its_scores_has_none(name: str, config: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="does not end in a linear layer of learnt features"):
        Penultimate(build(name, config))
