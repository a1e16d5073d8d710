import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from models.classification.logistic import Logistic


def test_the_softmax_of_the_logits_is_the_logistic_function_of_the_score() -> None:
    model = Logistic(inputs=4)
    x = torch.randn(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    score = x.flatten(1) @ model.score.weight[0] + model.score.bias  # (6,)
    torch.testing.assert_close(model(x).softmax(1)[:, 1], score.sigmoid())


def test_cross_entropy_of_the_logits_is_the_binary_one_of_the_score() -> None:
    model = Logistic(inputs=4)
    x, labels = torch.randn(6, 1, 2, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    score = model.score(x.flatten(1)).squeeze(1)
    wanted = binary_cross_entropy_with_logits(score, labels.float())
    torch.testing.assert_close(cross_entropy(model(x), labels), wanted)
