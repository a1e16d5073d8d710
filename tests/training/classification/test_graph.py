import pytest
import torch

from models.classification.rows import build, find
from models.layers.activation_map import ClassActivationMaps
from models.layers.pixels import normalise, unit
from tests.models.rows import seasoned
from training.classification.ensemble import Ensemble
from training.classification.graph import Served


def served(name: str = "softmax", temperature: float = 1.0) -> Served:
    return Served(seasoned(find(name)), (0.1307,), (0.3081,), temperature)


def digits(rows: int) -> torch.Tensor:
    return torch.randint(0, 256, (rows, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_black_and_white_are_normalised_as_the_pixels_of_the_training_split() -> None:
    images = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    found = normalise(unit(images), (0.1307,), (0.3081,))
    assert found.shape == (1, 1, 1, 2)
    assert found.flatten().tolist() == pytest.approx([-0.1307 / 0.3081, (1 - 0.1307) / 0.3081])


def test_each_channel_of_colour_has_its_own_mean_and_deviation() -> None:
    images = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)  # one pixel
    found = normalise(unit(images), (0.5, 0.25, 0.1), (0.5, 0.25, 0.2))
    assert found.flatten().tolist() == pytest.approx([-1, 3, 0.5])


@torch.no_grad()
def test_the_served_model_gives_probabilities() -> None:
    (found,) = served()(digits(5))
    assert found.shape == (5, 10)
    assert found.dtype == torch.float32
    assert (found > 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(5))


@torch.no_grad()
def test_a_network_that_ends_in_average_pooling_gives_its_activation_maps_too() -> None:
    model = served("resnet20-28")
    assert model.outputs == ("probabilities", "cam", "embedding")
    probabilities, maps, _ = model(digits(3))
    x = normalise(unit(digits(3)), (0.1307,), (0.3081,))
    logits, wanted, _ = ClassActivationMaps(model.network)(x)
    torch.testing.assert_close(maps, wanted)
    torch.testing.assert_close(probabilities, torch.softmax(logits, 1))
    torch.testing.assert_close(torch.softmax(model.network(x), 1), probabilities)


@pytest.mark.parametrize(
    ("name", "layer"), [("mlp", "scores"), ("lenet5", "output"), ("alexnet-28", "classifier.6"), ("resnet20-28", "fc")]
)
@torch.no_grad()
def test_a_network_with_a_hidden_layer_gives_what_its_last_linear_layer_takes(name: str, layer: str) -> None:
    model, taken = served(name), []
    *_, embedding = model(digits(3))
    assert model.outputs[-1] == "embedding"
    assert model.scoring_layer == layer
    model.network.get_submodule(layer).register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    model.network(normalise(unit(digits(3)), (0.1307,), (0.3081,)))
    torch.testing.assert_close(embedding, taken[0])


@pytest.mark.parametrize("name", ["softmax", "logistic", "neighbours"])
def test_networks_without_a_hidden_layer_give_their_probabilities_alone(name: str) -> None:
    model = served(name)
    assert (model.outputs, model.scoring_layer) == (("probabilities",), "")
    assert model.network is model.model


def test_several_networks_as_one_have_no_embedding() -> None:
    ensemble = Ensemble([build("mlp"), build("mlp")])
    assert Served(ensemble, (0.5,), (0.5,)).outputs == ("probabilities",)


@pytest.mark.parametrize("name", ["lenet5", "resnet20-28"])
@torch.no_grad()
def test_without_an_embedding_the_rest_is_the_same(name: str) -> None:
    whole = served(name)
    plain = Served(whole.network, whole.mean, whole.std, embedding=False)
    assert plain.outputs == whole.outputs[:-1]
    assert plain.scoring_layer == ""
    for found, wanted in zip(plain(digits(3)), whole(digits(3))[:-1], strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@torch.no_grad()
def test_a_temperature_divides_the_logits_and_leaves_the_maps_alone() -> None:
    sharp, soft = served("resnet20-28"), served("resnet20-28", 3.0)
    (logits, *more), (probabilities, *same) = sharp.scores(digits(4)), soft(digits(4))
    torch.testing.assert_close(probabilities, torch.softmax(logits / 3, 1))
    torch.testing.assert_close(same, more)
