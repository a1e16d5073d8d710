"""The shipped packages, each against its card and its recipe, and readers of digits against 300 real ones."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from models.registry import build
from service.config import Config
from service.engine import Engine
from service.package import (
    CaptionCard,
    Card,
    ClassifyCard,
    GenerateCard,
    Graph,
    Loop,
    Package,
    Provenance,
    SegmentCard,
    TextClassifyCard,
    read_package,
)
from service.tasks.classify import Classify
from service.tasks.generate import Generate
from service.tasks.image_decoding import ImageDecoder
from tests.service.tasks.asking import answer
from tests.training.tiny import digits
from training.captioning import evaluate as captioning
from training.classification.evaluate import measure
from training.classification.graph import Served
from training.classification.package import INT8_LOSS as CLASSIFIER_LOSS
from training.data import Split, find_captions, find_masks, find_texts
from training.data.image_sets import SOURCES
from training.data.source import Origin
from training.export.counts import count_parameters
from training.generation import evaluate as generation
from training.language import evaluate as language
from training.packages import INT8_SUFFIX
from training.recipe import load_recipe, parse_recipe, shipped
from training.segmentation import evaluate as segmentation
from training.segmentation.package import INT8_LOSS as SEGMENTER_LOSS

ZOO = Path(__file__).parents[2] / "models" / "zoo"
SCENE = Path(__file__).parents[1] / "data" / "scene.png"
FOLDERS = sorted(card.parent for card in ZOO.glob("*/*/model.json"))
ORIGINS: Mapping[str, Callable[[str], Origin]] = {
    "classify": SOURCES.__getitem__,
    "caption": find_captions,
    "segment": find_masks,
    "classify-text": find_texts,
    "generate": SOURCES.__getitem__,
}
LINEAGES = {"flickr-attention-scst": ["flickr8k", "cifar10-jpeg"], "scenes-attention": ["mnist"]}
# Those that no temperature certainly makes likelier on the validation split.
SURE_ENOUGH = ("softmax", "mlp", "lenet5", "fashion-resnet20", "fashion-googlenet", "fashion-xception")
DIGITS = ("lenet5", "mlp", "softmax")
# Of which metric int8 may lose how much.
LOST = {"classify": ("accuracy", CLASSIFIER_LOSS), "segment": ("mean_iou", SEGMENTER_LOSS)}
SCENES, LEAST_OF_A_DIGIT = ("scenes-unet",), 30  # pixels
STREETS = ("camvid-context",)
NUCLEI = ("nuclei-unet",)
# Of which the generators of digits make at least so many among 64, in the eyes of LeNet-5.
SEEN_CLASSES = 8
# Bytes; of the second, what does not read digits; of the third, whatever has words in or out; of the fourth, masks;
# of the last, new images.
WHOLE, CLASSIFICATION, WORDS, MASKS, SAMPLES = 36_000_000, 8_100_000, 4_000_000, 10_000_000, 8_000_000


def named(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def of(kind: type[Card]) -> list[Path]:
    return [folder for folder in FOLDERS if isinstance(read_package(folder).card, kind)]


CLASSIFIERS, CAPTIONERS, RECOGNISERS = of(ClassifyCard), of(CaptionCard), of(TextClassifyCard)
SEGMENTERS, GENERATORS = of(SegmentCard), of(GenerateCard)
INT8 = [folder for folder in FOLDERS if folder.parent.name.endswith(INT8_SUFFIX)]
READERS = [folder for folder in CLASSIFIERS if folder.parent.name in DIGITS]


def each(folders: list[Path]) -> pytest.MarkDecorator:
    """In the place of `package`, each of those in ``folders``."""
    return pytest.mark.parametrize("package", folders, ids=named, indirect=True)


@pytest.fixture(params=FOLDERS, ids=named)
def package(request: pytest.FixtureRequest) -> Package:
    return read_package(request.param)


def said(package: Package) -> Provenance:
    assert isinstance(package.card, ClassifyCard | CaptionCard | GenerateCard | SegmentCard | TextClassifyCard)
    return package.card.provenance


def outputs(package: Package) -> dict[str, Any]:
    """How many different words or labels the network gives, where that is the data's to say."""
    match package.card:
        case CaptionCard():
            return {"vocabulary": len(package.vocabulary)}
        case TextClassifyCard():
            return {"languages": len(package.labels)}
    return {}


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_every_recipe_with_a_gate_is_shipped_and_nothing_without_one() -> None:
    names = {folder.parent.name.removesuffix(INT8_SUFFIX) for folder in FOLDERS}
    assert names == {recipe.name for recipe in shipped() if recipe.gate}


def test_an_int8_variant_lies_beside_its_float_network() -> None:
    names = {folder.parent.name for folder in FOLDERS}
    assert {name.removesuffix(INT8_SUFFIX) for name in names} <= names


def test_the_card_reaches_the_gate_of_the_recipe_in_the_tree(package: Package) -> None:
    recipe = parse_recipe(said(package).recipe, str(package))
    assert recipe == load_recipe(package.card.name.removesuffix(INT8_SUFFIX))
    assert recipe.targets
    lost = LOST[package.card.task][1] if said(package).weights == "int8" else 0
    # Older exports had their gate on the test split.
    metrics = said(package).validation or said(package).metrics
    for name, wanted in recipe.targets.items():
        assert wanted.loosened(lost).allows(metrics[name])


@each([folder for folder in CLASSIFIERS if folder not in INT8])
def test_a_float_classifier_has_the_outputs_that_an_export_of_today_gives_it(package: Package) -> None:
    card = package.classifier
    with torch.device("meta"):
        network = build(said(package).recipe["model"], said(package).recipe["config"])
    served = Served(network, (0.5,), (0.5,))
    assert tuple(spec.name for spec in card.graph.outputs) == served.outputs
    assert (card.embedding.layer if card.embedding else "") == served.scoring_layer


@each(INT8)
def test_int8_loses_hardly_anything_on_the_test_split(package: Package) -> None:
    whole = read_package(max((ZOO / package.card.name.removesuffix(INT8_SUFFIX)).iterdir()))
    metric, most = LOST[package.card.task]
    assert (said(package).weights, said(whole).weights) == ("int8", "float16")
    assert said(package).metrics[metric] >= said(whole).metrics[metric] - most


@each(INT8)
def test_a_temperature_of_an_int8_network_is_its_own(package: Package) -> None:
    whole = read_package(max((ZOO / package.card.name.removesuffix(INT8_SUFFIX)).iterdir()))
    found = said(package).temperature, said(whole).temperature
    assert found == (1, 1) or found[0] != found[1]


@each(CLASSIFIERS)
def test_a_temperature_is_on_a_card_only_where_it_helps_on_validation(package: Package) -> None:
    found = said(package)
    assert found.recipe["temperature"]
    assert (found.temperature == 1) == (package.card.name.removesuffix(INT8_SUFFIX) in SURE_ENOUGH)
    assert found.temperature == 1 or found.validation["ece"] < found.validation["ece_uncalibrated"]


@each(CLASSIFIERS)
def test_a_classifiers_card_says_how_sure_its_figures_are(package: Package) -> None:
    found = said(package)
    assert found.validation.keys() == found.metrics.keys()
    low, high = found.intervals["accuracy"]
    assert low < found.metrics["accuracy"] < high < low + 0.02


def test_a_package_is_called_int8_if_its_weights_are(package: Package) -> None:
    assert (package.folder in INT8) == (said(package).weights == "int8")


def test_the_card_counts_the_parameters_of_the_model_and_the_files_of_its_data(package: Package) -> None:
    dataset = said(package).dataset
    assert dataset is not None
    with torch.device("meta"):
        network = build(said(package).recipe["model"], said(package).recipe["config"] | outputs(package))
    assert said(package).parameters == count_parameters(network)
    assert dataset.files == dict(ORIGINS[package.card.task](dataset.name).files)


def test_a_card_names_the_data_that_its_initial_weights_learnt_from(package: Package) -> None:
    weights, learnt = said(package).initial_weights, []
    assert (weights is None) == (said(package).recipe.get("transfer") is None)
    while weights is not None:
        assert weights.dataset is not None
        learnt.append(weights.dataset.name)
        weights = weights.initial_weights
    assert learnt == LINEAGES.get(package.card.name, [])


def test_parity_with_torch_is_on_the_card_for_batch_1_3_and_the_largest(package: Package) -> None:
    parity = said(package).parity
    program = package.card.program
    if isinstance(program, Loop):
        graphs = {"step, ": program.step} | ({"encoder, ": program.encoder} if program.encoder else {})
    else:
        assert isinstance(program, Graph)
        graphs = {"": program}
    for prefix, graph in graphs.items():
        assert {f"{prefix}{batch}" for batch in (1, 3, graph.max_batch)} <= parity.keys()
    # Torch computes nothing in 8 bits: there it says how far that is from 32.
    assert max(parity.values()) <= (0.2 if said(package).weights == "int8" else 1e-5)


def test_a_package_is_small_enough_for_the_repository(package: Package) -> None:
    assert size(package.folder) < 5_000_000
    assert (package.folder / "card.png").stat().st_size < 40_000


def test_the_zoo_is_small_enough_for_the_repository() -> None:
    sizes = {named(folder): size(folder) for folder in FOLDERS}
    assert sum(sizes.values()) < WHOLE
    tasks = {named(folder): read_package(folder).card.task for folder in FOLDERS if folder.parent.name not in DIGITS}
    assert sum(sizes[name] for name, task in tasks.items() if task == "classify") < CLASSIFICATION
    assert sum(sizes[name] for name, task in tasks.items() if task in ("caption", "classify-text")) < WORDS
    assert sum(sizes[name] for name, task in tasks.items() if task == "segment") < MASKS
    assert sum(sizes[name] for name, task in tasks.items() if task == "generate") < SAMPLES


def least(expected: float, count: int) -> float:
    """Of ``count`` examples, the least share that a model of that accuracy gets right: three standard deviations."""
    return float(expected - 3 * np.sqrt(expected * (1 - expected) / count))


@each(READERS)
def test_real_digits_are_read_about_as_well_as_the_card_says(package: Package) -> None:
    images, labels = digits()
    found = measure(ZOO, package, Split(images, labels))["accuracy"]
    assert found >= least(said(package).metrics["accuracy"], len(labels))


@each(CLASSIFIERS)
def test_a_real_image_of_each_class_is_told_about_as_well_as_the_card_says(package: Package) -> None:
    """The golden example holds the first image of each class of the validation split, in the classes' order."""
    with np.load(package.path(package.classifier.golden.file)) as golden:
        images = golden[package.classifier.preprocessing.tensor]
    assert len(images) == len(package.labels)
    found = measure(ZOO, package, Split(images, np.arange(len(images))))["accuracy"]
    assert found >= least(said(package).metrics["accuracy"], len(images))


@each(RECOGNISERS)
def test_a_sentence_of_each_language_is_told_about_as_well_as_the_card_says(package: Package) -> None:
    dataset = said(package).dataset
    assert dataset is not None
    sentences = [texts[1] for texts in find_texts(dataset.name).test().everyday.by_language()]
    assert len(sentences) == len(package.labels)
    right = language.ask(ZOO, package, sentences).argmax(1) == np.arange(len(sentences))
    assert right.mean() >= least(said(package).metrics["accuracy_everyday"], len(sentences))


@each(CAPTIONERS)
def test_a_caption_is_a_sentence_that_comes_to_its_end(package: Package) -> None:
    with np.load(package.path(package.captioner.golden.file)) as golden:
        (caption,) = captioning.ask(ZOO, package, golden[f"encoder.{package.captioner.preprocessing.tensor}"])
    words = caption.text.split()
    assert 3 <= len(words) < package.captioner.loop.steps.maximum
    assert words[0] in ("a", "an", "one", "two", "three", "the")
    assert not any(word.startswith("<") for word in words)


@each([folder for folder in SEGMENTERS if folder.parent.name in SCENES])
def test_the_pixels_of_each_digit_of_a_scene_are_told_from_the_others(package: Package) -> None:
    with Image.open(SCENE) as picture:
        (mask,) = segmentation.ask(ZOO, package, np.asarray(picture)[np.newaxis])
    pixels = np.bincount(mask.ravel(), minlength=len(package.labels))
    large = {package.labels[label] for label in np.flatnonzero(pixels > LEAST_OF_A_DIGIT)}
    assert large == {"background", "2", "8", "9"}


def street(height: int, width: int) -> NDArray[np.uint8]:
    """One as a child would paint it, (height, width, 3): a pale sky above a brown row of houses and a grey road."""
    picture = np.empty((height, width, 3), "u1")
    sky, road = height * 2 // 5, height * 2 // 3
    picture[:sky], picture[sky:road], picture[road:] = (190, 205, 220), (90, 80, 75), (75, 75, 78)
    return picture


@each([folder for folder in SEGMENTERS if folder.parent.name in STREETS])
def test_a_painted_street_has_its_sky_above_and_its_road_below(package: Package) -> None:
    size = package.segmenter.preprocessing
    (mask,) = segmentation.ask(ZOO, package, street(size.height, size.width)[np.newaxis])
    above, below = (package.labels[np.bincount(rows.ravel()).argmax()] for rows in (mask[:30], mask[-30:]))
    assert (above, below) == ("sky", "road")


@each([folder for folder in SEGMENTERS if folder.parent.name in NUCLEI])
def test_the_nuclei_of_the_golden_example_are_told_from_what_is_around_them(package: Package) -> None:
    """The example is one of validation, which is mixed with noise."""
    with np.load(package.path(package.segmenter.golden.file)) as golden:
        (mask,) = segmentation.ask(ZOO, package, golden[package.segmenter.preprocessing.tensor])
    assert package.labels == ("background", "nucleus")
    assert 0.02 < mask.mean() < 0.5


async def made_and_read(package: Package, count: int) -> list[str]:
    """What LeNet-5 reads in so many samples."""
    config = Config.model_validate({"repository": ZOO, "model_control": "explicit", "load_models": ()})
    async with Engine(config) as engine:
        for name in (package.card.name, "lenet5"):
            await engine.control.load(name)
        decode = ImageDecoder(config)
        ways = [task(engine, config, decode).endpoints for task in (Generate, Classify)]
        made = await answer(ways[0][0], model=package.card.name, count=count, seed=0)
        asked = [answer(ways[1][0], model="lenet5", image=picture) for picture in made.images]
        return [each.labels[0].label for each in await asyncio.gather(*asked)]


@each(GENERATORS)
def test_a_generator_of_digits_makes_those_of_many_classes(package: Package) -> None:
    read = asyncio.run(made_and_read(package, 64))
    assert len(set(read)) >= SEEN_CLASSES


@each(GENERATORS)
def test_real_digits_are_about_as_likely_as_the_card_says_and_others_are_not(package: Package) -> None:
    images, score = digits()[0][:60], package.generator.score
    assert score is not None
    found, inverted = (generation.log_likelihoods(ZOO, package, score, each) for each in (images, 255 - images))
    assert abs(-found.mean() - said(package).metrics["nats"]) < 3 * found.std() / np.sqrt(len(images))
    assert inverted.max() < found.min()


def test_every_package_is_asked_something() -> None:
    assert sorted([*CLASSIFIERS, *RECOGNISERS, *CAPTIONERS, *SEGMENTERS, *GENERATORS]) == FOLDERS
    assert {folder.parent.name for folder in READERS} == {*DIGITS}
    assert {folder.parent.name for folder in SEGMENTERS} == {*SCENES, *STREETS, *NUCLEI}


def test_what_the_readme_asks_is_answered_right() -> None:
    captioner, recogniser = (read_package(ZOO / name / "1") for name in ("scenes-attention", "language-gru"))
    with Image.open(SCENE) as picture:
        (caption,) = captioning.ask(ZOO, captioner, np.asarray(picture)[np.newaxis])
    assert caption.text == "two twos and an eight and a nine"
    (probabilities,) = language.ask(ZOO, recogniser, ["Ich habe heute keine Zeit."])
    assert recogniser.labels[probabilities.argmax()] == "German"
