"""A VAE from its recipe to the package that generates and scores."""

import asyncio
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.generation.vae import VAE
from service.config import Config
from service.engine import Engine
from service.package import Package
from service.tasks.generate import Generate
from service.tasks.image_decoding import ImageDecoder
from tests.service.tasks.asking import answer
from tests.training.generation.tiny import tiny_vae
from tests.training.tiny import Tiny
from training.checkpoint import read_checkpoint
from training.errors import ExportError, RecipeError
from training.export.float16 import round_weights
from training.fit import fit
from training.generation.evaluate import evaluate, log_likelihoods
from training.generation.learner import LossMeters
from training.generation.package import write_generator
from training.generation.start import OpenedGenerator
from training.generation.subject import from_run
from training.sanity import check

FAIR = 784 * math.log(2)  # nats of an image whose pixels are those of fair coins


def philox(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, number]))


def test_training_lowers_the_bound_below_that_of_fair_pixels(vae_run: Path) -> None:
    history = read_checkpoint(vae_run).history
    assert len(history) == 6
    assert history[-1]["validation_loss"] < 0.6 * FAIR
    assert list(history[0]) == ["epoch", "train_loss", "validation_loss", "learning_rate", "seconds"]


def test_a_new_network_passes_the_checks(tiny: Tiny) -> None:
    found = check(OpenedGenerator(tiny_vae(), tiny.folder).start())
    assert [each.passed for each in found] == [True, True]
    assert found[0].wanted == pytest.approx(FAIR)


def test_validation_measures_the_same_pixels_each_time(tiny: Tiny) -> None:
    start = OpenedGenerator(tiny_vae(), tiny.folder).start()
    meters, batch, found = start.learner.validation_meters, next(iter(start.validation())), set()
    assert isinstance(meters, LossMeters)
    for _ in range(3):
        start.learner.validation_step(batch, 0)
        found.add(float(meters.loss.compute()))
        meters.loss.reset()
        torch.rand(3)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["model=resnet20", "config={}"], "resnet20 is no generative network; there are pca"),
        (["model=dcgan", "config={}"], "dcgan cannot be trained yet; VAEs can"),
        (["config.latnt=3"], "latnt"),
        (['batch_size="full"'], 'batch_size is "full"'),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(tiny: Tiny, changes: Sequence[str], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        OpenedGenerator(tiny_vae(*changes), tiny.folder).start()


def test_the_card_says_what_was_measured(vae_package: Package) -> None:
    card = vae_package.generator
    assert (card.size, card.colour, card.parameters.count.maximum) == ((28, 28), False, 64)
    assert card.score is not None
    said = card.provenance
    assert set(said.metrics) == set(said.validation) == set(said.intervals) == {"nats", "bits_per_dim"}
    assert said.metrics["nats"] == pytest.approx(said.metrics["bits_per_dim"] * FAIR, rel=1e-3)
    low, high = said.intervals["nats"]
    assert low < said.metrics["nats"] < high < 0.6 * FAIR
    assert max(said.parity.values()) <= 1e-5


def test_the_bound_is_that_of_torch_for_the_same_numbers(tiny: Tiny, vae_package: Package, vae_run: Path) -> None:
    images, score = tiny.source.test().images[:8], vae_package.generator.score
    assert score is not None
    found = log_likelihoods(vae_package.folder.parents[1], vae_package, score, images)
    network = read_checkpoint(vae_run).model()
    assert isinstance(network, VAE)
    round_weights(network)
    thresholds = np.stack([philox(0, number).random((1, 28, 28), "f4") for number in range(8)])
    x = torch.from_numpy((images[:, None] / np.float32(255) > thresholds).astype("f4"))
    draws = [[philox(1 + run, number).standard_normal((64, 3), "f4") for run in range(8)] for number in range(8)]
    eps = torch.from_numpy(np.array(draws)).flatten(1, 2).transpose(0, 1)  # (512, 8, 3)
    with torch.no_grad():
        wanted = network.importance_bound(x, eps)
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-3)


def test_evaluate_measures_the_card_s_numbers_again(tiny: Tiny, vae_package: Package) -> None:
    found = evaluate(vae_package.folder.parents[1], "mnist-vae", data=tiny.folder)
    found.check()
    assert found.metrics == found.said


def test_the_package_generates_what_its_decoder_decodes(vae_package: Package, vae_run: Path) -> None:
    repository = vae_package.folder.parents[1]

    async def ask() -> Any:
        config = Config.model_validate({"repository": repository, "lanes": 1, "intra_op": 1})
        async with Engine(config) as engine:
            task = Generate(engine, config, ImageDecoder(config))
            return await answer(task.endpoints[0], model="mnist-vae", count=3, seed=4)

    found = asyncio.run(ask())
    network = read_checkpoint(vae_run).model()
    assert isinstance(network, VAE)
    rows = [philox(4, row).standard_normal(3, "f4") for row in range(3)]
    with torch.no_grad():
        wanted = network.decode(torch.from_numpy(np.stack(rows)))[:, 0].numpy() * 255
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(picture))) for picture in found.images])
    np.testing.assert_allclose(pictures, wanted, atol=1)


@pytest.mark.fit
@pytest.mark.export
def test_a_conditional_network_generates_a_class_and_scores_nothing(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(tiny_vae("model=cvae", "epochs=1"), run, tiny.folder, progress=False)
    package = write_generator(from_run(run, tiny.folder), tmp_path / "zoo", name="mnist-cvae")
    card = package.generator
    assert (card.score, card.provenance.metrics) == (None, {})
    assert package.labels == tuple("0123456789")
    assert card.parameters.label is not None
    assert card.parameters.label.unconditional is None


@pytest.mark.fit
@pytest.mark.export
def test_a_gate_that_is_missed_stops_the_export(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(tiny_vae("epochs=1", "gate.nats=10"), run, tiny.folder, progress=False)
    with pytest.raises(ExportError, match=r"nats .* at most 10"):
        write_generator(from_run(run, tiny.folder), tmp_path / "zoo")
    assert not (tmp_path / "zoo" / "mnist-vae").exists()
