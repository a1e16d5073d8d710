import pytest
import torch
from torch.nn.functional import cross_entropy

from models.registry import VARIANTS, build, find
from models.variant import Variant

every_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))


def images(variant: Variant, rows: int) -> torch.Tensor:
    return torch.randn(rows, *variant.input_shape, generator=torch.Generator().manual_seed(0))


@every_variant
@pytest.mark.parametrize("rows", [1, 3])
def test_forward_gives_one_finite_logit_a_class_for_each_row(variant: Variant, rows: int) -> None:
    logits = build(variant.name)(images(variant, rows))
    assert logits.shape == (rows, 10)
    assert logits.isfinite().all()


@every_variant
def test_backward_gives_every_parameter_a_gradient(variant: Variant) -> None:
    model = build(variant.name)
    torch.autograd.backward(cross_entropy(model(images(variant, 8)), torch.arange(8)))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@every_variant
def test_parameter_count_is_the_one_in_the_table(variant: Variant) -> None:
    assert sum(p.numel() for p in build(variant.name).parameters()) == variant.parameters


@every_variant
def test_a_row_does_not_depend_on_its_batch(variant: Variant) -> None:
    model, x = build(variant.name).eval(), images(variant, 5)
    torch.testing.assert_close(model(x)[3:4], model(x[3:4]))


@every_variant
def test_a_model_learns_one_batch_by_heart(variant: Variant) -> None:
    torch.manual_seed(0)
    model, x, labels = build(variant.name), images(variant, 10), torch.arange(10)
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(model(x), labels))
        optimizer.step()
    assert (model(x).argmax(1) == labels).all()


def test_a_config_replaces_values_of_the_row() -> None:
    assert build("lenet5", {"classes": 47})(torch.zeros(1, 1, 28, 28)).shape == (1, 47)


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(KeyError, match="no model 'lenet6'; there are softmax, mlp, lenet5"):
        find("lenet6")


def test_an_unknown_config_key_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="model 'mlp' has no 'depth'"):
        build("mlp", {"depth": 3})
