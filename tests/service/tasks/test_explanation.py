"""What the network looked at: its maps and their pictures, for the right class, layer and image."""

import asyncio
import io
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.errors import InternalError, InvalidArgument, QueueFull
from service.tasks.classification import Evidence, Explanation
from service.tasks.picture import overlay, signed
from tests.explaining_packages import LAYERS, activation_maps, projected
from tests.packages import example, expected
from tests.pictures import encoded, solid
from tests.service.engine.asking import settled
from tests.service.engine.gate import Gate
from tests.service.tasks.classifying import ClassifyOptions, come_to_wait, png, serving, waiting

CAM, DECONV = ClassifyOptions(explain="cam"), ClassifyOptions(explain="deconv")
LABELS = ("zero", "one", "two")
ONE_LABEL = ClassifyOptions(explain="cam", explain_label="one")


def values(evidence: Evidence) -> NDArray[np.float32]:
    return np.frombuffer(evidence.values, "<f4").reshape(evidence.shape)


def check_map(explanation: Explanation | None, seed: int, label: int) -> None:
    """It is the map of that class, of the image of that seed, with its picture."""
    assert explanation is not None
    assert (explanation.method, explanation.index, explanation.label) == ("cam", label, LABELS[label])
    assert explanation.layer is None
    (evidence,) = explanation.evidence
    image = example(1, seed)
    np.testing.assert_allclose(values(evidence), activation_maps(image)[0, label], atol=1e-5)
    assert evidence.png == overlay(image[0], values(evidence))
    assert (evidence.map, evidence.strength) == (None, None)


def check_projection(explanation: Explanation | None, seed: int, layer: int) -> None:
    """It is that of the layer's strongest maps, with its pictures."""
    assert explanation is not None
    assert (explanation.method, explanation.layer) == ("deconv", LAYERS[layer])
    assert (explanation.label, explanation.index) == (None, None)
    wanted = {key: answer[0] for key, answer in projected(example(1, seed), np.array([layer])).items()}
    assert [evidence.map for evidence in explanation.evidence] == wanted["maps"].tolist()
    assert [evidence.strength for evidence in explanation.evidence] == pytest.approx(wanted["strengths"])
    for evidence, reconstruction in zip(explanation.evidence, wanted["reconstructions"], strict=True):
        np.testing.assert_allclose(values(evidence), reconstruction, atol=1e-5)
        assert evidence.png == signed(values(evidence))


@pytest.mark.parametrize("seed", range(4))
async def test_the_map_is_that_of_the_most_probable_class(seed: int, explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        answer = await classify(png(seed), "seeing", options=CAM)
    top = int(expected(example(1, seed))[0].argmax())
    assert answer.labels[0].index == top
    check_map(answer.explanation, seed, top)


@pytest.mark.parametrize(("wanted", "label"), [("zero", 0), ("one", 1), ("2", 2), ("0", 0)])
async def test_the_map_may_be_that_of_any_class(wanted: str, label: int, explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        answer = await classify(png(0), "seeing", options=ClassifyOptions(explain="cam", explain_label=wanted))
    check_map(answer.explanation, 0, label)


@pytest.mark.parametrize(("wanted", "layer"), [("", 2), *((name, i) for i, name in enumerate(LAYERS))])
async def test_the_strongest_maps_are_those_of_the_layer(wanted: str, layer: int, explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        answer = await classify(png(3), "seeing", options=ClassifyOptions(explain="deconv", layer=wanted))
    check_projection(answer.explanation, 3, layer)
    assert answer.labels[0].index == int(expected(example(1, 3))[0].argmax())


async def test_a_picture_is_large_enough_to_be_looked_at(explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        for options in (CAM, DECONV):
            explanation = (await classify(png(0), "seeing", options=options)).explanation
            assert explanation is not None
            for evidence in explanation.evidence:
                with Image.open(io.BytesIO(evidence.png), formats=["PNG"]) as image:
                    assert image.size == (224, 224)


@pytest.mark.parametrize("views", ["flip", "ten_crop"])
async def test_with_views_the_explanation_is_of_the_image_as_it_is(views: str, explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        map_ = await classify(png(1), "seeing", options=ONE_LABEL._replace(views=views))
        projection = await classify(png(1), "seeing", options=DECONV._replace(views=views))
        plain = await classify(png(1), "seeing", options=ClassifyOptions(views=views))
    check_map(map_.explanation, 1, 1)
    check_projection(projection.explanation, 1, 2)
    assert map_.labels == projection.labels == plain.labels


@pytest.mark.parametrize("views", ["single", "flip", "ten_crop"])
async def test_each_image_of_a_batch_has_its_own_explanation(views: str, explaining: Path) -> None:
    images = [png(seed) for seed in range(5)]
    async with serving(explaining) as (classify, _):
        maps = await classify.batch(images, "seeing", options=ONE_LABEL._replace(views=views))
        projections = await classify.batch(images, "seeing", options=DECONV._replace(views=views))
    for seed in range(5):
        check_map(maps.results[seed].explanation, seed, 1)
        check_projection(projections.results[seed].explanation, seed, 2)


async def test_a_map_comes_with_the_answer_s_own_run_and_a_projection_beside_it(explaining: Path) -> None:
    async with serving(explaining) as (classify, engine):
        gate = Gate(engine)
        await classify(png(0), "seeing")
        await classify(png(0), "seeing", options=CAM)
        await classify(png(0), "seeing", options=DECONV)
    runs = [(run.model, len(run.input), run.outputs) for run in gate.runs]
    assert runs[:2] == [("seeing", 1, ("probabilities",)), ("seeing", 1, ("probabilities", "cam"))]
    assert sorted(runs[2:]) == [
        ("seeing", 1, ("probabilities",)),
        ("seeing.deconv", 1, ("reconstructions", "maps", "strengths")),
    ]


async def test_in_json_pictures_and_values_are_base64(explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        answer = await classify(png(0), "seeing", options=DECONV)
        plain = await classify(png(0), "seeing")
    came: dict[str, Any] = json.loads(answer.model_dump_json())
    assert list(came) == ["model", "version", "labels", "explanation", "timing"]
    assert answer.explanation is not None
    for evidence, wanted in zip(came["explanation"]["evidence"], answer.explanation.evidence, strict=True):
        assert b64decode(evidence["png"], validate=True) == wanted.png
        assert b64decode(evidence["values"], validate=True) == wanted.values
    assert json.loads(plain.model_dump_json())["explanation"] is None


async def test_a_part_that_fails_ends_the_request_and_leaves_nothing_behind(explaining: Path) -> None:
    white = encoded(solid("L", 255), "PNG")
    async with serving(explaining) as (classify, engine):
        with pytest.raises(InternalError, match="'fragile' failed on this request"):
            await classify(white, "fragile", options=DECONV)
        await settled(engine)
        check_projection((await classify(png(0), "fragile", options=DECONV)).explanation, 0, 2)


async def test_a_caller_that_leaves_takes_both_runs_along(explaining: Path) -> None:
    async with serving(explaining) as (classify, engine):
        gate = Gate(engine)
        with gate.closed():
            running = asyncio.create_task(classify(png(0)))
            await gate.reached(1)
            leaving = asyncio.create_task(classify(png(0), "seeing", options=DECONV))
            await come_to_wait(engine, 2)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert not waiting(engine)
        await running
        await settled(engine)
        assert gate.models == ["tiny"]


async def test_a_part_whose_line_is_full_refuses_the_request_and_its_other_run(explaining: Path) -> None:
    async with serving(explaining, max_queue_rows=1) as (classify, engine):
        gate = Gate(engine)
        with gate.closed():
            running = asyncio.create_task(classify(png(0)))
            await gate.reached(1)
            inputs = {"image": example(1), "layer": np.zeros(1, "i8")}
            part = asyncio.create_task(engine.infer("seeing", None, inputs, part="deconv"))
            await asyncio.sleep(0)
            with pytest.raises(QueueFull, match="'seeing': the queue holds 1 of at most"):
                await classify(png(0), "seeing", options=DECONV)
            assert waiting(engine) == 1
        await asyncio.gather(running, part)
        await settled(engine)


async def test_more_than_an_answer_may_hold_is_refused_before_the_images_are_looked_at(explaining: Path) -> None:
    picture = 224 * 224 * 3
    both = 2 * (4 * 16 + picture)  # a projection's two maps
    async with serving(explaining, max_request_bytes=2 * both) as (classify, _):
        for explain, most in (("cam", 4), ("deconv", 2)):
            options = ClassifyOptions(explain=explain)
            with pytest.raises(
                InvalidArgument,
                match=f"{most + 1} images were sent; explain '{explain}' of model 'seeing' .* {most} at once",
            ):
                await classify.batch([b"a cat"] * (most + 1), "seeing", options=options)
            assert len((await classify.batch([png(0)] * most, "seeing", options=options)).results) == most
    async with serving(explaining, max_request_bytes=1000) as (classify, _):
        assert (await classify(png(0), "seeing", options=DECONV)).explanation is not None  # one is never too many
