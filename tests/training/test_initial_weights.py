"""Training that starts from a package: every shipped one, against the golden answers of its graph."""

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import lightning.pytorch as pl
import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from models.captioning.graphs import EncoderGraph, StepGraph
from models.captioning.network import CaptionNetwork
from models.layers.pixels import unit
from models.registry import build
from models.segmentation.graph import SegmentationGraph
from models.segmentation.segmenter import Segmenter
from models.weights import WeightsError
from service.package import (
    CARD,
    CaptionCard,
    ClassifyCard,
    GenerateCard,
    InitialWeights,
    Package,
    SegmentCard,
    read_package,
    sha256,
)
from tests.training.captioning.tiny import tiny_captioner
from tests.training.tiny import Tiny, tiny_recipe
from training.checkpoint import read_checkpoint
from training.classification.graph import IMAGE, Served
from training.data import find_captions, find_masks
from training.errors import RecipeError
from training.export.initialisers import read_initialisers
from training.export.onnx_file import answer
from training.fit import fit
from training.initial_weights import find_weights
from training.tasks import open_recipe

ZOO = Path(__file__).parents[2] / "models" / "zoo"
FOLDERS = sorted(card.parent for card in ZOO.glob("*/*/model.json"))
CARDS = {folder: read_package(folder).card for folder in FOLDERS}
INT8 = [folder for folder in FOLDERS if folder.parent.name.endswith("-int8")]
CLASSIFIERS = [folder for folder, card in CARDS.items() if isinstance(card, ClassifyCard) and folder not in INT8]
CAPTIONERS = [folder for folder, card in CARDS.items() if isinstance(card, CaptionCard)]
SEGMENTERS = [folder for folder, card in CARDS.items() if isinstance(card, SegmentCard) and folder not in INT8]


def each(folders: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("folder", folders, ids=[folder.parent.name for folder in folders])


def fresh(package: Package, **outputs: int) -> nn.Module:
    """The package's network with random weights of its own."""
    said = package.card.provenance
    assert said is not None
    torch.manual_seed(1)
    return build(said.recipe["model"], said.recipe["config"] | outputs)


def golden(package: Package) -> dict[str, Any]:
    assert package.card.golden is not None
    with np.load(package.path(package.card.golden.file)) as file:
        return dict(file)


def normalisation(package: Package) -> tuple[list[float], list[float]]:
    """Mean and deviation of the pixels, which the graph takes off and divides by."""
    graph = onnx.load(package.path(package.classifier.graph.file)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor).ravel().tolist() for tensor in graph.initializer}
    steps = [node for node in graph.node if node.op_type in ("Sub", "Div") and node.input[1] in constants]
    assert [node.op_type for node in steps[:3]] == ["Div", "Sub", "Div"]
    return constants[steps[1].input[1]], constants[steps[2].input[1]]


def answers(package: Package, network: nn.Module) -> dict[str, Any]:
    served = Served(network.eval(), *normalisation(package), package.classifier.provenance.temperature)
    return answer(served, {IMAGE: golden(package)[IMAGE]})


@each(CLASSIFIERS)
def test_a_network_with_a_classifiers_weights_answers_as_its_package(folder: Path) -> None:
    package = read_package(folder)
    network = fresh(package, classes=len(package.labels)) if len(package.labels) != 2 else fresh(package)
    before = answers(package, network)
    layers = find_weights(folder).give(network)
    after, wanted = answers(package, network), golden(package)
    np.testing.assert_allclose(after["probabilities"], wanted["probabilities"], atol=1e-5)
    assert not np.allclose(before["probabilities"], wanted["probabilities"], atol=1e-2)
    assert len(layers) == sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for output in ("cam", "embedding"):
        if output in after:
            atol = 1e-4 * np.abs(wanted[output]).max()
            np.testing.assert_allclose(after[output], wanted[output], atol=atol, err_msg=output)


@each(CAPTIONERS)
def test_a_network_with_a_captioners_weights_answers_as_its_package(folder: Path) -> None:
    package = read_package(folder)
    said = package.captioner.provenance
    network = fresh(package, vocabulary=len(package.vocabulary))
    assert isinstance(network, CaptionNetwork)
    assert said.dataset is not None
    find_weights(folder).give(network, part="encoder.backbone", method="maps")
    source, arrays = find_captions(said.dataset.name), golden(package)
    network.eval()
    graphs: dict[str, EncoderGraph | StepGraph] = {
        "encoder": EncoderGraph(network, source.mean, source.std),
        "step": StepGraph(network),
    }
    for name, graph in graphs.items():
        found = answer(graph, {each: arrays[f"{name}.{each}"] for each in graph.inputs})
        for output, array in found.items():
            wanted = arrays[f"{name}.{output}"]
            np.testing.assert_allclose(array, wanted, atol=1e-4 * max(1, np.abs(wanted).max()), err_msg=output)


@each(SEGMENTERS)
def test_a_network_with_a_segmenters_weights_answers_as_its_package(folder: Path) -> None:
    package = read_package(folder)
    dataset = package.segmenter.provenance.dataset
    network = fresh(package)
    assert isinstance(network, Segmenter)
    assert dataset is not None
    layers = find_weights(folder).give(network, method="scores")
    source = find_masks(dataset.name)
    found = answer(SegmentationGraph(network, source.mean, source.std), {IMAGE: golden(package)[IMAGE]})
    np.testing.assert_allclose(found["probability"], golden(package)["probability"], atol=1e-4)
    assert (found["mask"] != golden(package)["mask"]).mean() < 0.001
    assert len(layers) == sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@each(INT8)
def test_quantised_weights_are_refused_with_the_package_that_has_float_ones(folder: Path) -> None:
    name = folder.parent.name
    with pytest.raises(WeightsError, match=rf"{name}/1 are quantised to 8 bits .* '{name.removesuffix('-int8')}'$"):
        find_weights(folder)


@pytest.mark.parametrize("file", ["model.onnx", "model.json"])
def test_a_packages_graph_or_card_is_as_good_as_its_folder(file: str) -> None:
    folder = ZOO / "lenet5" / "1"
    one, other = find_weights(folder), find_weights(folder / file)
    said = read_package(folder).classifier.provenance
    wanted = InitialWeights(name="lenet5", version=1, sha256=sha256(folder / CARD), dataset=said.dataset)
    assert one.record == other.record == wanted.model_copy(update={"trained_commit": said.trained_commit})
    assert one.names == other.names


def test_a_package_with_another_graph_than_its_card_names_is_refused(tmp_path: Path) -> None:
    copy = copied("lenet5", tmp_path)
    (copy / "model.onnx").write_bytes((ZOO / "mlp" / "1" / "model.onnx").read_bytes())
    with pytest.raises(WeightsError, match=r"model\.onnx has sha256 .*; the card says"):
        find_weights(copy)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x0a\x3a\xff\xff\xff\xff\x0f"])
def test_a_graph_that_is_none_is_refused_though_its_checksum_is_right(content: bytes, tmp_path: Path) -> None:
    copy = copied("softmax", tmp_path, content)
    with pytest.raises(WeightsError):
        find_weights(copy).give(build("softmax"))


def test_a_graph_with_a_cycle_or_a_node_without_inputs_is_refused(tmp_path: Path) -> None:
    bias = numpy_helper.from_array(np.ones(2, np.float32), "scores.bias")
    cycle = [helper.make_node("Squeeze", ["a"], ["b"]), helper.make_node("Squeeze", ["b"], ["a"])]
    for nodes in ([*cycle, helper.make_node("Add", ["a", "scores.bias"], ["z"])], [helper.make_node("MatMul", [], [])]):
        graph = helper.make_model(helper.make_graph(nodes, "graph", [], [], [bias])).SerializeToString()
        with pytest.raises(WeightsError, match="is not an ONNX file that holds its weights"):
            find_weights(copied("softmax", tmp_path / str(len(nodes)), graph))


def test_no_byte_of_a_graph_breaks_the_reader(tmp_path: Path) -> None:
    whole, path, draws = (ZOO / "logistic" / "1" / "model.onnx").read_bytes(), tmp_path / "model.onnx", Random(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(whole)
        for place in draws.choices(range(len(whole)), k=3):
            broken[place] ^= draws.randrange(1, 256)
        path.write_bytes(broken)
        try:
            read_initialisers(path)
        except WeightsError:
            refused += 1
    assert 0 < refused < 300


def test_weights_in_another_file_are_not_looked_for(tmp_path: Path) -> None:
    graph = onnx.load(ZOO / "softmax" / "1" / "model.onnx")
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    with pytest.raises(WeightsError, match="is not an ONNX file that holds its weights"):
        find_weights(copied("softmax", tmp_path, graph.SerializeToString()))


def test_a_quantised_graph_is_refused_whatever_its_card_says(tmp_path: Path) -> None:
    int8 = (ZOO / "fashion-vgg7-int8" / "1" / "model.onnx").read_bytes()
    with pytest.raises(WeightsError, match="quantised to 8 bits"):
        find_weights(copied("softmax", tmp_path, int8))


def test_a_graph_without_a_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((ZOO / "mlp" / "1" / "model.onnx").read_bytes())
    with pytest.raises(WeightsError, match=r"no model\.json beside the graph"):
        find_weights(tmp_path / "model.onnx")


def copied(name: str, folder: Path, graph: bytes | None = None) -> Path:
    """A copy of the package, with another ``graph`` that its card knows of."""
    copy = folder / name / "1"
    shutil.copytree(ZOO / name / "1", copy)
    if graph is not None:
        (copy / "model.onnx").write_bytes(graph)
        card = json.loads((copy / CARD).read_text())
        card["files"]["model.onnx"] = sha256(copy / "model.onnx")
        (copy / CARD).write_text(json.dumps(card))
    return copy


def test_in_training_too_a_network_answers_about_as_its_package(tiny: Tiny) -> None:
    """Batches are normalised by statistics of their own, which those of the new data set are like."""
    folder, model = ZOO / "fashion-resnet20" / "1", "resnet20-28"
    changes = (f"model={model}", f"transfer.weights={folder}", "transfer.fresh=[]")
    network = open_recipe(tiny_recipe(*changes), tiny.folder).start().learner
    identity = build(model)
    find_weights(folder).give(identity)
    images = network.normalised(unit(torch.from_numpy(tiny.source.test().images)))
    with torch.no_grad():
        wanted = network.model.eval()(images)
        torch.testing.assert_close(identity.eval()(images), wanted, rtol=1e-3, atol=1e-3)
        agree, without = (
            float((model.train()(images).argmax(1) == wanted.argmax(1)).float().mean())
            for model in (network.model, identity)
        )
    assert agree > 0.75 > without


@pytest.mark.fit
def test_a_run_that_was_killed_still_knows_the_package_it_began_with(tiny: Tiny, tmp_path: Path) -> None:
    folder = copied("softmax", tmp_path)
    recipe = tiny_recipe(f"transfer.weights={folder}", "transfer.fresh=[]", "epochs=2")
    with pytest.raises(InterruptedError):
        fit(recipe, tmp_path / "run", tiny.folder, callbacks=[Interruption()])
    shutil.rmtree(folder)
    wanted = find_weights(ZOO / "softmax" / "1").record
    assert wanted.sha256 == sha256(ZOO / "softmax" / "1" / CARD)
    assert fit(recipe, tmp_path / "run", tiny.folder).initial_weights == wanted


def test_the_weights_of_a_run_have_its_data_its_commit_and_its_own_lineage(finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    content = torch.load(run / "last.ckpt", weights_only=True)
    content["lectorium"]["initial_weights"] = {"name": "older", "sha256": "0" * 64}
    torch.save(content, run / "last.ckpt")
    said, found = read_checkpoint(run), find_weights(run).record
    assert (found.dataset, found.trained_commit) == (said.dataset, said.git_commit)
    assert found.initial_weights == InitialWeights(name="older", sha256="0" * 64)
    assert found.generations == 2


def test_a_captioners_encoder_starts_from_a_classifiers_package(scenes: Tiny) -> None:
    weights = ZOO / "fashion-vgg7" / "1"
    wide = "config.backbone_config={widths=[[32,32],[64,64],[128,128]]}"
    recipe = tiny_captioner(wide, f"transfer.weights={weights}", "transfer.mode=freeze")
    learner = open_recipe(recipe, scenes.folder).start().learner
    found = find_weights(weights)
    assert learner.description["initial_weights"] == found.record.model_dump()
    classifier = build("vgg7-28").eval()
    found.give(classifier)
    images = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        seen, wanted = learner.model.encoder.backbone.eval().maps(images), classifier.maps(images)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(seen, wanted, rtol=1e-3, atol=1e-3)


def test_a_captioner_goes_on_from_a_package_with_the_same_words_only(
    scenes: Tiny, captioner_package: Package, captioner_run: Path
) -> None:
    given = (f"transfer.weights={captioner_package.folder}", "transfer.fresh=[]")
    network = open_recipe(tiny_captioner(*given), scenes.folder).start().learner.model.eval()
    trained = read_checkpoint(captioner_run).model()
    images, tokens = torch.randn(2, 1, 64, 64), torch.ones(2, 3, dtype=torch.int64)
    with torch.no_grad():
        # Their packages round weights to 16 bits.
        torch.testing.assert_close(network(images, tokens).logits, trained(images, tokens).logits, rtol=2e-2, atol=2e-2)
    with pytest.raises(RecipeError, match=r"words differ from the \d+ words of digit-scenes"):
        open_recipe(tiny_captioner(*given, "min_count=20"), scenes.folder).start()


class Interruption(pl.Callback):
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise InterruptedError


def test_every_shipped_package_is_asked_here() -> None:
    # Generators start from random weights, and none else starts from theirs.
    asked = {*CLASSIFIERS, *CAPTIONERS, *SEGMENTERS, *INT8, ZOO / "language-gru" / "1"}
    assert asked == {folder for folder, card in CARDS.items() if not isinstance(card, GenerateCard)}
