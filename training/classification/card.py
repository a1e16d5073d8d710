"""The card of an exported classifier."""

from collections.abc import Mapping
from pathlib import Path

from service.package import (
    VIEWS,
    ActivationMap,
    Classes,
    ClassifyCard,
    ClassifyParameters,
    Deconvolution,
    Embedding,
    Explain,
    Golden,
    Graph,
    IntegerParameter,
    Provenance,
    TensorSpec,
    ViewsParameter,
)
from training.classification.graph import CAM, EMBEDDING, IMAGE, PROBABILITIES
from training.classification.subject import Subject
from training.packages import GRAPH, LABELS, SHOWN, checksums

RELIABILITY = "reliability.png"
# Pixels per side. Ten crops of a smaller image show the object larger than in training, and cut off: at 28 pixels, a
# network with 95 % accuracy on whole images has 90 % on crops.
LEAST_CROPPED = 64


def describe_graph(subject: Subject, outputs: Mapping[str, tuple[int, ...]], max_batch: int) -> Graph:
    """The classifier's graph; ``outputs`` maps the outputs' names to their shapes without the batch."""
    return Graph(
        file=GRAPH,
        inputs=(TensorSpec(name=IMAGE, datatype="UINT8", shape=(-1, *subject.image_shape)),),
        outputs=tuple(TensorSpec(name=name, datatype="FP32", shape=(-1, *shape)) for name, shape in outputs.items()),
        max_batch=max_batch,
    )


def describe_explanations(graph: Graph, deconv: Deconvolution | None) -> Explain:
    """The explanations: activation maps if the ``graph`` has them as an output, and ``deconv`` if it is given."""
    maps = any(tensor.name == CAM for tensor in graph.outputs)
    return Explain(cam=ActivationMap(tensor=CAM) if maps else None, deconv=deconv)


def describe_embedding(graph: Graph, layer: str) -> Embedding | None:
    """The description of the ``graph``'s embedding, the input of the linear ``layer``; None if it has none."""
    sizes = [tensor.shape[1] for tensor in graph.outputs if tensor.name == EMBEDDING]
    return Embedding(tensor=EMBEDDING, dimension=sizes[0], layer=layer) if sizes else None


def describe_views(subject: Subject) -> ViewsParameter:
    """The views that are like the network's training images."""
    if not subject.mirrored:
        return ViewsParameter(allowed=("single",))
    large = min(subject.preprocessing.height, subject.preprocessing.width) >= LEAST_CROPPED
    return ViewsParameter(allowed=VIEWS if large else ("single", "flip"))


def describe(
    subject: Subject,
    graph: Graph,
    explain: Explain,
    embedding: Embedding | None,
    golden: Golden,
    provenance: Provenance,
    folder: Path,
) -> ClassifyCard:
    """The card of the package in ``folder``, over all of its files."""
    labels = len(subject.labels)
    return ClassifyCard(
        name=folder.parent.name,
        version=int(folder.name),
        task="classify",
        title=subject.title,
        lecture=subject.lecture,
        description=subject.description,
        serving=subject.serving,
        graph=graph,
        preprocessing=subject.preprocessing,
        classes=Classes(tensor=PROBABILITIES, labels=LABELS),
        parameters=ClassifyParameters(
            top_k=IntegerParameter(default=min(SHOWN, labels), minimum=1, maximum=labels), views=describe_views(subject)
        ),
        explain=explain,
        embedding=embedding,
        golden=golden,
        files=checksums(folder),
        provenance=provenance,
    )
