import pytest
import torch

from tests.training.tiny import Tiny, tiny_recipe
from training.classification.network import check_network, complete_config, input_shape, open_source
from training.errors import RecipeError
from training.start import fresh_model

TEN = tuple("0123456789")


def test_the_data_set_comes_as_the_model_takes_it(tiny: Tiny) -> None:
    source = open_source(tiny_recipe("model=resnet20"), tiny.folder)
    assert source.shape == (3, 32, 32)
    assert source.training().images.shape == (220, 32, 32, 3)


def test_the_recipe_may_say_how_many_channels() -> None:
    assert input_shape(tiny_recipe("model=resnet20", "config.channels=1")) == (1, 32, 32)


def test_what_follows_from_the_data_is_filled_in_where_the_family_knows_it(tiny: Tiny) -> None:
    source = open_source(tiny_recipe(), tiny.folder)
    assert complete_config(tiny_recipe(), source, 180) == {"classes": 10}
    assert complete_config(tiny_recipe("model=neighbours"), source, 180) == {"classes": 10, "rows": 180}
    assert complete_config(tiny_recipe("model=logistic"), source, 180) == {}
    assert complete_config(tiny_recipe("config.classes=3"), source, 180) == {"classes": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("model=transformer",), "recipe 'mlp': no model 'transformer'"),
        (("config.width=3",), "recipe 'mlp', config: .*no 'width'"),
        (("config.activation=step",), "recipe 'mlp', config: no activation 'step'"),
        (("config.hidden=12",), "recipe 'mlp', config: .*int"),
        (("config.hidden=[-1]",), "recipe 'mlp', config: "),
        (("config.dropout=7",), "recipe 'mlp', config: dropout probability"),
        (
            ("model=neighbours", "config.neighbours=0"),
            "recipe 'mlp', config: neighbours is 0; 1000 rows allow 1 to 1000",
        ),
        (("model=resnet20", "config.normalisation=spectral"), "recipe 'mlp', config: no normalisation 'spectral'"),
    ],
)
def test_a_value_that_the_model_does_not_have_is_refused_by_name(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        fresh_model(tiny_recipe(*changes, model="mlp"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("model=logistic",), "logistic has 2 classes; mnist has 10"),
        (("config.classes=3",), "softmax has 3 classes; mnist has 10"),
        (("config.inputs=100",), r"softmax cannot take images \(1, 28, 28\)"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_refused(changes: tuple[str, ...], message: str) -> None:
    recipe = tiny_recipe(*changes)
    with pytest.raises(RecipeError, match=message):
        check_network(recipe, fresh_model(recipe), (1, 28, 28), TEN)


def test_looking_whether_it_fits_leaves_the_model_as_it_was() -> None:
    recipe = tiny_recipe("model=resnet20-28")
    model = fresh_model(recipe)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_network(recipe, model, (1, 28, 28), TEN)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert all(module.training for module in model.modules())
