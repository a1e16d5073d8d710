import pytest
import torch
from torch import Tensor, nn

from models.classification.rows import build
from models.variant import Variant
from tests.models.rows import SMALL, each, images, seasoned, takes
from training.export.folding import fold_normalisation

NORMALISED = [variant for variant in SMALL if takes(variant, "normalisation")]


def normalisations(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@each(SMALL)
def test_a_folded_row_answers_as_before(variant: Variant) -> None:
    model, x = seasoned(variant), images(variant, 4)
    with torch.no_grad():
        torch.testing.assert_close(fold_normalisation(model)(x), model(x), rtol=1e-4, atol=1e-4)


@each([variant for variant in NORMALISED if normalisations(build(variant.name))])
def test_nothing_is_left_of_the_normalisation_after_convolutions(variant: Variant) -> None:
    assert normalisations(fold_normalisation(seasoned(variant))) == 0


def test_the_model_itself_stays_as_it_is() -> None:
    model = build("vgg7-28").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fold_normalisation(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Forked(nn.Module):
    """A convolution whose maps are also read without the normalisation; and one normalisation for two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(1, 1, 1) for _ in range(3))
        self.bn1, self.shared = nn.BatchNorm2d(1), nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        answer: Tensor = y + self.bn1(y) + self.shared(self.second(x)) + self.shared(self.third(x))
        return answer


def test_a_normalisation_that_is_not_the_convolutions_alone_stays() -> None:
    torch.manual_seed(0)
    model = Forked()
    x = 3 + torch.randn(64, 1, 2, 2)
    model(x)
    model.eval()
    folded = fold_normalisation(model)
    assert normalisations(folded) == 2
    torch.testing.assert_close(folded(x), model(x))


@pytest.mark.parametrize("name", ["neighbours", "softmax", "lenet5"])
def test_a_model_without_batch_normalisation_is_only_copied(name: str) -> None:
    model = build(name)
    folded = fold_normalisation(model)
    assert folded is not model
    assert str(folded) == str(model)
    assert not folded.training
