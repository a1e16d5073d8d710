"""Embedding: the vector is the network's, of the right image, normalised where that is asked for."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.config import Config
from service.engine import Engine
from service.engine.tensors import Tensor, Tensors
from service.errors import InternalError, InvalidArgument, InvalidImage, UnknownModel
from service.tasks.classify import Classify
from service.tasks.embed import Embed, normalized
from service.tasks.image_decoding import ImageDecoder
from tests.embedding_packages import DIMENSION, vectors, write_embedding_package
from tests.packages import MAX_BATCH, example, write_package
from tests.pictures import encoded, solid
from tests.service.tasks.asking import answer
from tests.service.tasks.classifying import ClassifyOptions, png

INFINITE_AT = 255  # no pixel of the golden example is


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Embed]:
    """The task, over `vectors` and `tiny`, which has no embedding; `fragile` gives an infinite one now and then."""
    write_embedding_package(folder)
    write_embedding_package(folder, "fragile", infinite_at=INFINITE_AT)
    write_package(folder)
    config = Config.model_validate({"repository": folder, "default_models": "embed=vectors", **settings})
    async with Engine(config) as engine:
        yield Embed(engine, config, ImageDecoder(config))


@pytest.mark.parametrize("seed", range(3))
async def test_the_vector_is_the_one_the_network_scores(seed: int, tmp_path: Path) -> None:
    async with serving(tmp_path) as embed:
        one, _ = embed.endpoints
        found = await answer(one, image=png(seed), normalize=False)
    assert (found.model, found.version, len(found.embedding)) == ("vectors", "1", DIMENSION)
    np.testing.assert_array_equal(np.array(found.embedding, "f4"), vectors(example(1, seed))[0])
    assert min(found.timing.decode_ms, found.timing.compute_ms) > 0


async def test_a_normalised_vector_has_the_same_direction_and_length_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as embed:
        one, _ = embed.endpoints
        found = np.array((await answer(one, image=png(1), normalize=True)).embedding)
    wanted = vectors(example(1, 1))[0]
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-7)


@pytest.mark.parametrize("normalize", [False, True])
async def test_several_images_have_their_own_vectors_in_their_order(normalize: bool, tmp_path: Path) -> None:
    count = 2 * MAX_BATCH + 1
    async with serving(tmp_path) as embed:
        one, several = embed.endpoints
        images = [png(seed) for seed in range(count)]
        found = await answer(several, images=images, normalize=normalize)
        alone = [(await answer(one, image=image, normalize=normalize)).embedding for image in images]
    assert [result.embedding for result in found.results] == alone


async def test_a_black_image_has_a_vector_of_zeros_however_it_is_wanted(tmp_path: Path) -> None:
    black = encoded(solid("L", 0), "PNG")
    async with serving(tmp_path) as embed:
        one, _ = embed.endpoints
        for normalize in (False, True):
            assert (await answer(one, image=black, normalize=normalize)).embedding == [0.0] * DIMENSION


@pytest.mark.parametrize("normalize", [False, True])
async def test_a_vector_that_is_not_finite_is_no_answer(normalize: bool, tmp_path: Path) -> None:
    grey, white = (encoded(solid("L", level), "PNG") for level in (51, INFINITE_AT))
    async with serving(tmp_path) as embed:
        one, several = embed.endpoints
        for endpoint, asked in ((one, {"image": white}), (several, {"images": [grey, white]})):
            with pytest.raises(InternalError, match="model 'fragile' gave an embedding that is not finite"):
                await answer(endpoint, **asked, model="fragile", normalize=normalize)
        found = await answer(one, image=grey, model="fragile", normalize=False)
    assert found.embedding == pytest.approx([0.2] * DIMENSION)


async def test_each_task_fetches_only_its_own_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[list[str]] = []
    async with serving(tmp_path) as embed:
        session = embed.select("vectors", "").session
        run = session.run

        def watched(outputs: Sequence[str], inputs: Tensors) -> list[Tensor]:
            fetched.append(list(outputs))
            return run(outputs, inputs)

        monkeypatch.setattr(session, "run", watched)
        classify, _ = Classify(embed.engine, embed.config, embed.decode).endpoints
        await answer(classify, image=png(0), model="vectors", **ClassifyOptions()._asdict())
        await answer(embed.endpoints[0], image=png(0), normalize=True)
    assert fetched == [["probabilities"], ["embedding"]]


async def test_a_classifier_without_an_embedding_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as embed:
        with pytest.raises(UnknownModel, match=r"model 'tiny' does not embed images; these do: \['fragile', 'vectors'"):
            embed.select("tiny", "")
        assert embed.select("", "").name == "vectors"


async def test_images_are_refused_as_classifications_are(tmp_path: Path) -> None:
    async with serving(tmp_path, max_images=2) as embed:
        one, several = embed.endpoints
        with pytest.raises(InvalidImage, match="the 5 bytes are not an image"):
            await answer(one, image=b"hello", normalize=False)
        with pytest.raises(InvalidImage, match=r"images\[1\]: the 5 bytes are not an image"):
            await answer(several, images=[png(0), b"hello"], normalize=False)
        with pytest.raises(InvalidArgument, match="3 images were sent; 1 to 2 are allowed"):
            await answer(several, images=[png(0)] * 3, normalize=False)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_vectors_of_any_length_are_normalised(size: float) -> None:
    found = normalized(np.array([[3, -4], [0, 0], [0, 7]], "f4") * np.float32(size))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array([[0.6, -0.8], [0, 0], [0, 1]]), rtol=1e-6)
