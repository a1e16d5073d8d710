"""A network is traced once, and another one anew: see tests/training/exports.py."""

import onnx
import pytest
import torch
from torch import nn

from tests.training import exports
from training.export.onnx_file import trace


class Halves(nn.Module):
    """Two linear layers side by side, which may share their weights."""

    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)
        self.two.load_state_dict(self.one.state_dict())
        if tied:
            self.two.weight = self.one.weight
        self.factor = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.factor * (self.one(x) + self.two(x))
        return found


def traced(module: nn.Module) -> onnx.ModelProto:
    return trace(module, {"x": torch.zeros(2, 2)}, ("y",))


@pytest.mark.export
def test_the_same_network_is_traced_once_and_its_graph_is_everybodys_own(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Halves()
    first = traced(network)
    monkeypatch.setattr(exports, "_export", None)
    second = traced(network)
    assert second == first
    second.graph.node[0].name = "mine"
    assert traced(network) == first


def test_what_differs_has_another_fingerprint() -> None:
    torch.manual_seed(0)
    network = Halves()
    same = Halves()
    same.load_state_dict(network.state_dict())
    assert exports.fingerprint(network) == exports.fingerprint(same)
    same.factor = 2.0
    others = [Halves(), same, Halves(tied=True), network.double()]
    others[2].load_state_dict(network.state_dict())
    found = [exports.fingerprint(other) for other in others]
    assert len({exports.fingerprint(Halves()), *found}) == 5
