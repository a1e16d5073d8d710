"""The card of an exported segmentation network."""

from pathlib import Path

from models.segmentation.graph import AREA, CONFIDENCE, IMAGE, MASK, PROBABILITY
from service.package import Golden, Graph, Provenance, Segmentation, SegmentCard, TensorSpec
from training.packages import GOLDEN, GRAPH, LABELS, TOLERANCE, checksums
from training.segmentation.subject import SegmentationSubject

# Where two classes are almost as probable, the greater depends on how a processor rounds.
UNEQUAL = 1e-3


def describe_graph(subject: SegmentationSubject, max_batch: int) -> Graph:
    """The graph, which takes images of any height and width."""
    colour = (3,) if subject.source.shape[0] == 3 else ()
    classes = len(subject.source.labels)
    return Graph(
        file=GRAPH,
        inputs=(TensorSpec(name=IMAGE, datatype="UINT8", shape=(-1, -1, -1, *colour)),),
        outputs=(
            TensorSpec(name=MASK, datatype="UINT8", shape=(-1, -1, -1)),
            TensorSpec(name=PROBABILITY, datatype="FP32", shape=(-1, -1, -1)),
            TensorSpec(name=AREA, datatype="INT64", shape=(-1, classes)),
            TensorSpec(name=CONFIDENCE, datatype="FP32", shape=(-1, classes)),
        ),
        max_batch=max_batch,
    )


def describe(subject: SegmentationSubject, graph: Graph, provenance: Provenance, folder: Path) -> SegmentCard:
    """The card of the package in ``folder``, over all of its files."""
    source = subject.source
    return SegmentCard(
        name=folder.parent.name,
        version=int(folder.name),
        title=subject.title,
        lecture=subject.lecture,
        description=subject.description,
        graph=graph,
        preprocessing=source.preprocessing(IMAGE),
        segmentation=Segmentation(
            mask=MASK,
            probability=PROBABILITY,
            area=AREA,
            confidence=CONFIDENCE,
            labels=LABELS,
            palette=source.palette,
            background=source.background,
            countable=source.countable,
        ),
        golden=Golden(file=GOLDEN, tolerance=TOLERANCE, unequal=UNEQUAL),
        files=checksums(folder),
        provenance=provenance,
    )
