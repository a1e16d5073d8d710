"""A classifier's maps as a grid of features."""

import pytest
import torch
from torch import nn

from models.captioning.encoder import ImageEncoder, planar
from models.classification.rows import build
from models.receptive_field import receptive_fields
from models.variant import Variant
from models.weights import give_weights
from tests.models.rows import CONVOLUTIONAL, GREY, LARGE, each, images, seasoned, thin
from training.export.folding import fold_normalisation

FAMILIES = [variant for variant in GREY if variant in CONVOLUTIONAL]


def encoder(variant: Variant, width: int = 5) -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder(variant.name, variant.input_shape, width, config=thin(variant))


def features(model: ImageEncoder, maps: torch.Tensor) -> torch.Tensor:
    """Of maps (B, L, K), with averages of 0 and variances of 1."""
    seen = (maps @ model.projection.weight.T + model.projection.bias + model.place).relu()
    placed = torch.cat((seen, model.coordinates.expand(len(maps), -1, -1)), 2)
    scale: float = (1 + model.normalisation.eps) ** 0.5
    return placed / scale


@each(FAMILIES)
def test_every_family_gives_its_maps_as_a_grid(variant: Variant) -> None:
    model = encoder(variant)
    maps = build(variant.name, thin(variant)).maps(images(variant, 2))  # type: ignore[operator]
    assert model.grid == tuple(maps.shape[2:])
    assert model.shape == (maps.shape[2] * maps.shape[3], 5)
    found = model(images(variant, 2))
    assert found.shape == (2, *model.shape)
    torch.autograd.backward((found**3).sum())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name  # nothing is left over from the classifier's end


@each(FAMILIES)
def test_a_trained_classifiers_weights_fit_and_give_its_maps(variant: Variant) -> None:
    classifier = seasoned(variant)
    model = ImageEncoder(variant.name, variant.input_shape, 5).eval()
    heads = {name.split(".")[0] for name in classifier.state_dict()} - {
        name for name, _ in model.backbone.named_children()
    }
    assert heads
    give_weights(model.backbone, classifier.state_dict(), "a classifier", heads)
    x = images(variant, 2)
    with torch.no_grad():
        wanted = classifier.maps(x).permute(0, 2, 3, 1).flatten(1, 2)  # type: ignore[operator]
        torch.testing.assert_close(model(x), features(model, wanted))


@each(FAMILIES)
def test_normalisation_can_be_folded_into_its_convolutions(variant: Variant) -> None:
    model, x = encoder(variant), images(variant, 4)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    folded = fold_normalisation(model.eval())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-5)


@each(FAMILIES)
def test_the_last_maps_see_as_much_as_the_classifiers_do(variant: Variant) -> None:
    fields = receptive_fields(ImageEncoder(variant.name, variant.input_shape, 5))
    assert max(field.side for field in fields.values()) == variant.receptive_field


@each(LARGE)
def test_a_large_row_is_an_encoder(variant: Variant) -> None:
    with torch.device("meta"):  # shapes only
        found = ImageEncoder(variant.name, variant.input_shape, 5)(torch.zeros(2, *variant.input_shape))
    assert found.shape[0] == 2
    assert found.shape[2] == 5
    assert found.shape[1] >= 16


def test_places_go_through_the_grid_row_by_row_and_are_averaged_to_a_smaller_one() -> None:
    torch.manual_seed(0)
    whole = ImageEncoder("vgg7-28", (1, 32, 48), 5, config={"normalisation": "none"}).eval()
    torch.manual_seed(0)
    half = ImageEncoder("vgg7-28", (1, 32, 48), 5, config={"normalisation": "none"}, grid=(2, 6)).eval()
    assert (whole.grid, half.grid) == ((4, 6), (2, 6))
    assert half.shape == (12, 5)
    x = torch.zeros(1, 1, 32, 48)
    x[..., 12, 36] = 9
    with torch.no_grad():
        maps = whole.backbone.maps(x)
        changed = (whole.backbone.maps(x) != whole.backbone.maps(torch.zeros_like(x))).any(1)[0]  # (4, 6)
        seen = (whole(x) != whole(torch.zeros_like(x))).any(2).reshape(4, 6)
        assert seen[1, 4]
        assert not (seen & ~changed).any()
        pooled = maps.reshape(1, -1, 2, 2, 6).mean(3).flatten(2).transpose(1, 2)
        torch.testing.assert_close(half(x), features(half, pooled))


def test_the_mean_of_the_features_knows_where_a_thing_is() -> None:
    model = ImageEncoder("vgg7-28", (1, 32, 32), 16, config={"normalisation": "none"}).eval()
    x = torch.rand(1, 1, 32, 32)
    x[..., :16, :] = 0
    with torch.no_grad():
        mean, mirrored = model(x).mean(1), model(x.flip(2)).mean(1)
    assert not torch.allclose(mean, mirrored, rtol=1e-2)


def test_features_are_centred_in_training() -> None:
    found = ImageEncoder("vgg7-28", (1, 32, 32), 6)(torch.rand(5, 1, 32, 32)).flatten(0, 1)
    varied = found.std(0) > 0.5  # but for a feature that is 0 everywhere
    assert varied.any()
    torch.testing.assert_close(found.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(0, correction=0)[varied], torch.ones(int(varied.sum())), atol=1e-2, rtol=0)


def test_averages_are_as_they_were_and_the_network_trains() -> None:
    model = ImageEncoder("resnet20-28", (1, 32, 32), 5)
    assert model.backbone.training
    assert not model.backbone.bn1.running_mean.any()
    assert (model.backbone.bn1.running_var == 1).all()
    assert model.backbone.bn1.num_batches_tracked == 0


def test_what_has_no_maps_or_no_such_grid_is_refused() -> None:
    with pytest.raises(TypeError, match="'mlp' has no maps for an encoder; give a convolutional one"):
        ImageEncoder("mlp", (1, 28, 28), 5)
    with pytest.raises(ValueError, match="maps of 4x4 cannot be averaged to 3x4"):
        ImageEncoder("vgg7-28", (1, 32, 32), 5, grid=(3, 4))
    with pytest.raises(KeyError, match="no model 'vgg0'"):
        ImageEncoder("vgg0", (1, 28, 28), 5)


def test_places_start_with_vectors_that_say_where_they_are() -> None:
    vectors = planar(8, 6, 96).reshape(8, 6, 96)
    assert vectors.shape == (8, 6, 96)
    flat = vectors.flatten(0, 1)
    apart = torch.cdist(flat, flat)
    assert apart.fill_diagonal_(9).min() > 0.5
    # The half that says how far down is the same in a row, the other in a column.
    assert torch.equal(vectors[3, :, :48], vectors[3, :1, :48].expand(6, -1))
    assert torch.equal(vectors[:, 2, 48:], vectors[:1, 2, 48:].expand(8, -1))
    # Along an axis the neighbour is nearest, and the longest wave only grows.
    distances = (vectors[:, 0] - vectors[0, 0]).norm(dim=1)
    assert distances[1:].min() == distances[1]
    assert (vectors[1:, 0, 0] > vectors[:-1, 0, 0]).all()
    assert planar(8, 6, 10).shape == (48, 10)
