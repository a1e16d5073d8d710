import torch

from models.classification.rows import build
from training.classification.ensemble import Ensemble


def test_an_ensembles_probabilities_are_the_mean_of_its_members() -> None:
    torch.manual_seed(0)
    members = [build(name).eval() for name in ("softmax", "mlp", "lenet5")]
    x = torch.randn(5, 1, 28, 28)
    mean = torch.stack([torch.softmax(member(x), 1) for member in members]).mean(0)
    torch.testing.assert_close(torch.softmax(Ensemble(members)(x), 1), mean)


def test_members_that_are_certain_of_different_classes_are_averaged_without_overflow() -> None:
    class Certain(torch.nn.Module):
        def __init__(self, label: int) -> None:
            super().__init__()
            self.label = label

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 1e4 * torch.eye(3)[self.label].expand(len(x), 3)

    found = torch.softmax(Ensemble([Certain(0), Certain(1)])(torch.zeros(2, 1)), 1)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5, 0.0]] * 2))
