"""The served forms of models of latents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.generation.gan import GAN
from models.generation.latent_graphs import HashCode, LatentSampler, VAEEncoder, VAEScore
from models.generation.semantic_hashing import SemanticHashing
from models.generation.vae import VAE
from tests.models.generation.pictures import classes, draw, grey
from tests.training.tiny import digits
from training.export.onnx_file import open_onnx, save, trace


def vae(**config: Any) -> VAE:
    torch.manual_seed(0)
    return VAE(3, (8,), **config).eval()


def gan(**config: Any) -> GAN:
    torch.manual_seed(0)
    return GAN(3, (6, 4), **config).eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=draw(1))


def images(rows: int) -> Tensor:
    return torch.from_numpy(digits()[0][:rows])


@pytest.mark.parametrize("build", [vae, gan])
@pytest.mark.parametrize("conditional", [False, True])
def test_latents_times_their_truncation_become_bytes(build: Callable[..., VAE | GAN], conditional: bool) -> None:
    network = build(classes=10 if conditional else 0)
    graph, z = LatentSampler(network), noise(4, 3)
    labels = (classes(4),) if network.classes else ()
    (found,) = graph(z, torch.tensor([1.0, 0.5, 0.0, 1.0]), *labels)
    assert found.shape == (4, 28, 28)
    assert found.dtype == torch.uint8
    factors = torch.tensor([1.0, 0.5, 0.0, 1.0])[:, None]
    wanted = 255 * network.decode(factors * z, *labels)[:, 0]
    assert (found.double() - wanted.double()).abs().max() <= 0.5001
    assert list(graph.examples()) == list(graph.inputs)


def test_colours_come_last() -> None:
    graph = LatentSampler(gan(shape=(3, 32, 32)))
    assert graph(**graph.examples(2))[0].shape == (2, 32, 32, 3)
    encoder = VAEEncoder(vae(shape=(3, 32, 32)))
    assert encoder(**encoder.examples(2))[0].shape == (2, 3)


def test_an_image_of_bytes_has_the_latents_of_its_pixels() -> None:
    network = vae(classes=10)
    (found,) = VAEEncoder(network)(images(5), classes(5))
    torch.testing.assert_close(found, network.encode(grey(5), classes(5)))


@pytest.mark.parametrize("config", [{}, {"classes": 10}, {"likelihood": "gaussian"}], ids=["vae", "cvae", "gaussian"])
def test_a_score_is_the_bound_of_the_pixels_that_the_threshold_draws(config: dict[str, Any]) -> None:
    network = vae(**config)
    graph, eps = VAEScore(network, draws=4), noise(5, 4, 3)
    threshold = torch.rand(5, 1, 28, 28, generator=draw(2))
    labels = classes(5) if network.classes else None
    x = grey(5) if config.get("likelihood") else (grey(5) > threshold).to(torch.float32)
    wanted = network.importance_bound(x, eps.transpose(0, 1), labels)
    given = {"threshold": threshold, "label": classes(5)}
    (found,) = graph(images(5), eps, *(given[name] for name in graph.inputs[2:]))
    torch.testing.assert_close(found, wanted)
    assert list(graph.examples()) == list(graph.inputs)


def test_pixels_of_black_and_white_are_drawn_as_they_are() -> None:
    network, black_and_white = vae(), (images(3) > 127).to(torch.uint8) * 255
    scores = [
        VAEScore(network)(black_and_white, noise(3, 1, 3), torch.full((3, 1, 28, 28), level))[0]
        for level in (0.0, 0.999)
    ]
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=0)


@pytest.mark.export
@pytest.mark.parametrize("conditional", [False, True])
def test_graphs_with_and_without_labels_are_traced_under_the_names_of_their_inputs(
    conditional: bool, tmp_path: Path
) -> None:
    """Inputs that only some networks have are optional in one graph, and starred in the other."""
    network = vae(classes=10 if conditional else 0)
    for graph in (LatentSampler(network), VAEScore(network, draws=2)):
        save(trace(graph, graph.examples(2), graph.outputs), tmp_path / "model.onnx")
        session = open_onnx(tmp_path / "model.onnx")
        assert [value.name for value in session.get_inputs()] == list(graph.inputs)
        given = graph.examples(3)
        (found,) = session.run(list(graph.outputs), {name: value.numpy() for name, value in given.items()})
        (wanted,) = graph(*given.values())
        np.testing.assert_allclose(found, wanted.detach(), rtol=1e-5, atol=1 if found.dtype == np.uint8 else 1e-3)


def test_an_image_has_a_code_of_bytes() -> None:
    torch.manual_seed(0)
    network = SemanticHashing(16, (8,))
    (found,) = HashCode(network)(images(5))
    np.testing.assert_array_equal(found, np.packbits(network.encode(grey(5)).numpy().astype(bool), axis=1))
