"""Checkpoints of CIFAR ResNets as others publish them, from networks written here anew, without ours."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.classification.weights_file import Weights, from_weights
from training.errors import ExportError

LABELS = tuple("0123456789")


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut without weights: strided, with zeros around its maps; or with weights."""

    def __init__(self, inputs: int, outputs: int, stride: int, projects: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if projects and inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.added = 0 if projects else outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        around = self.shortcut(x)
        if self.added:
            quarter = y.shape[1] // 4
            around = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))
        return functional.relu(y + around)


class CifarResNet(nn.Module):
    """Three stages of three blocks of 16, 32 and 64 maps, and a last layer that is called ``linear``."""

    def __init__(self, projects: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inputs = 16
        for stage, maps in enumerate((16, 32, 64), 1):
            blocks = [Block(inputs, maps, 1 if maps == 16 else 2, projects)]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks, *(Block(maps, maps, 1, projects) for _ in "23")))
            inputs = maps
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            x = self.get_submodule(f"layer{stage}")(x)
        scores: Tensor = self.linear(x.mean((2, 3)))
        return scores


def published(path: Path, *, projects: bool = False, wrapped: bool = True) -> CifarResNet:
    """A network with random weights and averages, saved in ``path`` as its training script would, on several GPUs."""
    torch.manual_seed(0)
    network = CifarResNet(projects)
    network(torch.randn(16, 3, 32, 32))
    state = network.state_dict()
    content: Any = {"state_dict": {f"module.{name}": state[name] for name in state}, "best_prec1": 91.5}
    torch.save(content if wrapped else state, path)
    return network.eval()


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_public_cifar_resnet_answers_as_in_its_own_project(wrapped: bool, tmp_path: Path) -> None:
    theirs = published(tmp_path / "resnet20.th", wrapped=wrapped)
    config = {"shortcut": "zero_padding_both_sides"}
    weights = Weights("resnet20", tmp_path / "resnet20.th", LABELS, "mine", config=config)
    subject = from_weights(weights, None, None, unmeasured=True)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(subject.model(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert subject.recipe["config"] == config


def test_projections_are_seen_in_the_file(tmp_path: Path) -> None:
    theirs = published(tmp_path / "resnet20.pth", projects=True)
    subject = from_weights(Weights("resnet20", tmp_path / "resnet20.pth", LABELS, "mine"), None, None, unmeasured=True)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(subject.model(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert subject.recipe["config"] == {"shortcut": "projection"}


def test_on_which_side_zeros_are_must_be_said(tmp_path: Path) -> None:
    published(tmp_path / "resnet20.th")
    with pytest.raises(ExportError) as error:
        from_weights(Weights("resnet20", tmp_path / "resnet20.th", LABELS, "mine"), None, None, unmeasured=True)
    for words in ("--config shortcut=zero_padding_both_sides", "--config shortcut=zero_padding,", "--data"):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"shortcut": "zeros"},
            "resnet20, config: no shortcut 'zeros'; there are zero_padding, zero_padding_both_sides",
        ),
        ({"shortcut": "zero_padding", "depth": 3}, "resnet20, config: model 'resnet20' has no 'depth'; it has block"),
        ({"shortcut": "zero_padding", "depths": "3"}, "resnet20, config: "),
        ({"shortcut": "zero_padding", "classes": 3}, "config.classes is 3; it follows from the labels"),
    ],
)
def test_a_config_that_the_model_does_not_have_is_one_line(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    published(tmp_path / "resnet20.th")
    weights = Weights("resnet20", tmp_path / "resnet20.th", LABELS, "mine", config=config)
    with pytest.raises(ExportError, match=re.escape(message)) as error:
        from_weights(weights, None, None, unmeasured=True)
    assert "\n" not in str(error.value)
