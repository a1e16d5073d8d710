"""The card of an exported classifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
# Pixels a side. Of smaller images ten crops show an object larger than it was learnt, and cut off: on 28 pixels a
# network that answers 95 % of whole images right answers 90 %.
LEAST_CROPPED = 64

Storage = Literal["float32", "float16", "int8"]


@dataclass(frozen=True)
class How:
    """How ``weights`` are stored, and whether a ``temperature`` is fitted (None: as the recipe says).

    With ``deconv``, the package of a network that has a way back also has the graph for it, which holds the weights of
    the convolutions once more; int8 packages, which shall be small, never have it.
    """

    weights: Storage = "float16"
    temperature: bool | None = None
    deconv: bool = True


PLAIN = How()


def describe_graph(subject: Subject, outputs: Mapping[str, tuple[int, ...]], max_batch: int) -> Graph:
    """The classifier's graph, whose ``outputs`` have these shapes, the batch left out."""
    return Graph(
        file=GRAPH,
        inputs=(TensorSpec(name=IMAGE, datatype="UINT8", shape=(-1, *subject.image_shape)),),
        outputs=tuple(TensorSpec(name=name, datatype="FP32", shape=(-1, *shape)) for name, shape in outputs.items()),
        max_batch=max_batch,
    )


def describe_explanations(graph: Graph, deconv: Deconvolution | None) -> Explain:
    """By activation maps where the ``graph`` answers some, and by ``deconv`` where there is one."""
    maps = any(tensor.name == CAM for tensor in graph.outputs)
    return Explain(cam=ActivationMap(tensor=CAM) if maps else None, deconv=deconv)


def describe_embedding(graph: Graph, layer: str) -> Embedding | None:
    """What the ``graph`` answers of it, if anything; it is what the linear ``layer`` takes."""
    sizes = [tensor.shape[1] for tensor in graph.outputs if tensor.name == EMBEDDING]
    return Embedding(tensor=EMBEDDING, dimension=sizes[0], layer=layer) if sizes else None


def describe_views(subject: Subject) -> ViewsParameter:
    """Those that a network can know from its training."""
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
