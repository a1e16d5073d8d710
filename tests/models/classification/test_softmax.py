import torch

from models.classification.softmax import Softmax


def test_logits_are_an_affine_function_of_the_pixels() -> None:
    model = Softmax()
    x, y = torch.randn(2, 4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    between = model(0.25 * x + 0.75 * y)
    torch.testing.assert_close(between, 0.25 * model(x) + 0.75 * model(y))


def test_the_score_of_a_class_is_the_sum_of_its_weighted_pixels() -> None:
    model = Softmax(inputs=4, classes=3)
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    weights, bias = model.scores.weight, model.scores.bias
    torch.testing.assert_close(model(x)[0, 2], (weights[2] * torch.arange(1.0, 5.0)).sum() + bias[2])
