"""The package: the only thing that training hands to serving.

A package is a folder ``<repository>/<name>/<version>/`` with a ``model.json`` (the card), the ONNX graphs and
the small files that the card names. This folder defines everything that the card may contain.
"""

from service.package.caption import AttentionGrid, CaptionCard
from service.package.card import (
    CARD,
    VIEWS,
    Card,
    Classes,
    ClassifyCard,
    ClassifyParameters,
    Golden,
    Name,
    Preprocessing,
    TensorCard,
    Views,
    ViewsParameter,
)
from service.package.embedding import Embedding
from service.package.explain import ActivationMap, Deconvolution, Explain
from service.package.files import sha256
from service.package.folder import MAX_CARD_BYTES, Package, read_package
from service.package.generate import GenerateCard
from service.package.graph import Datatype, Graph, IntegerParameter, TensorSpec
from service.package.loop import Loop
from service.package.provenance import Dataset, InitialWeights, Provenance
from service.package.segment import OUTPUTS, Output, OutputParameter, Segmentation, SegmentCard, SegmentParameters
from service.package.serving import Serving
from service.package.text_classify import TextClassifyCard, TextClassifyParameters, TextInput

__all__ = [
    "CARD",
    "MAX_CARD_BYTES",
    "OUTPUTS",
    "VIEWS",
    "ActivationMap",
    "AttentionGrid",
    "CaptionCard",
    "Card",
    "Classes",
    "ClassifyCard",
    "ClassifyParameters",
    "Dataset",
    "Datatype",
    "Deconvolution",
    "Embedding",
    "Explain",
    "GenerateCard",
    "Golden",
    "Graph",
    "InitialWeights",
    "IntegerParameter",
    "Loop",
    "Name",
    "Output",
    "OutputParameter",
    "Package",
    "Preprocessing",
    "Provenance",
    "SegmentCard",
    "SegmentParameters",
    "Segmentation",
    "Serving",
    "TensorCard",
    "TensorSpec",
    "TextClassifyCard",
    "TextClassifyParameters",
    "TextInput",
    "Views",
    "ViewsParameter",
    "read_package",
    "sha256",
]
