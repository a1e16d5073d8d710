from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from models.classification.rows import build, find
from models.layers.pixels import normalise, unit
from tests.training.tiny import Tiny
from training.classification.subject import Subject, from_run
from training.data import Split, catalogue

RIDGE = 1e-2


@pytest.fixture(scope="session")
def plain(finished_run: Path, tiny_data: Tiny) -> Subject:
    """Softmax regression, as its run exports it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(catalogue, "SOURCES", {"mnist": tiny_data.source})
        return from_run(finished_run, tiny_data.folder)


@pytest.fixture(scope="session")
def subject(plain: Subject) -> Subject:
    """A LeNet-5 with batch normalisation to fold and average pooling for activation maps, in its place."""
    assert plain.training is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build("lenet5", {"cam": True, "normalisation": "batch", "activation": "relu"})
        learn(model, plain.training, plain)
    variant = find("lenet5")
    return replace(plain, name="lenet5", model=model.eval(), title=variant.title, description=variant.description)


@torch.no_grad()
def learn(model: nn.Module, split: Split, subject: Subject) -> None:
    """Averages of the normalisation, and the last layer by least squares over random maps: no epochs to wait for."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    images = normalise(unit(torch.from_numpy(split.images)), subject.mean, subject.std)
    model(images)
    model.eval()
    means = model.maps(images).mean((2, 3))  # type: ignore[operator]
    inputs = torch.cat([means, torch.ones(len(means), 1)], dim=1)
    wanted = 8 * one_hot(torch.from_numpy(split.labels), 10).float()
    found = torch.linalg.solve(inputs.T @ inputs + RIDGE * torch.eye(inputs.shape[1]), inputs.T @ wanted)
    model.get_parameter("fc.weight").copy_(found[:-1].T)
    model.get_parameter("fc.bias").copy_(found[-1])
