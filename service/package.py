"""The package: the only thing that passes from training to serving.

A package is a folder ``<repository>/<name>/<version>/`` with a ``model.json`` (the card), the ONNX graphs and
the small files the card names. The card says what goes in, what comes out, and where it all came from; this
module is the whole of what it may say.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from service.errors import InvalidPackage

CARD = "model.json"
MAX_CARD_BYTES = 1 << 20

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
# A plain file name: no folder, no leading dot, so that no card reaches outside its own folder.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0)]


class _Frozen(BaseModel):
    """Immutable, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Frozen):
    """One input or output of a graph; ``shape`` includes the batch dimension, -1 means any size."""

    name: str
    datatype: Datatype
    shape: tuple[Annotated[int, Field(ge=-1)], ...]


class Graph(_Frozen):
    """One ONNX file: every input and output has the batch as its first dimension."""

    file: FileName
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    max_batch: Positive = Field(description="Most rows one run may hold.")

    @model_validator(mode="after")
    def _batch_first(self) -> "Graph":
        for tensor in (*self.inputs, *self.outputs):
            if tensor.shape[:1] != (-1,):
                raise ValueError(f"{tensor.name!r} is {list(tensor.shape)}; its first dimension is the batch, -1")
        return self


class Preprocessing(_Frozen):
    """How any image becomes the graph's uint8 input, (H, W) for ``grey`` and (H, W, 3) for ``rgb``.

    ``fit`` says what happens to another aspect ratio: ``stretch`` ignores it, ``crop`` keeps the centre,
    ``pad`` adds a border of ``background``, which also lies under transparent pixels.
    """

    tensor: str
    colour: Literal["grey", "rgb"]
    height: Positive
    width: Positive
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    background: Annotated[int, Field(ge=0, le=255)] = 0


class Classes(_Frozen):
    """A classifier's answer: ``tensor`` holds probabilities (batch, classes), ``labels`` one label a line."""

    tensor: str
    labels: FileName


class IntegerParameter(_Frozen):
    """Default and inclusive range of an integer request parameter."""

    default: int
    minimum: int
    maximum: int

    @model_validator(mode="after")
    def _default_in_range(self) -> "IntegerParameter":
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default} is outside {self.minimum}..{self.maximum}")
        return self


class ClassifyParameters(_Frozen):
    """What a caller of a classifier may set."""

    top_k: IntegerParameter


class Golden(_Frozen):
    """An ``.npz`` of inputs and the outputs they must give, within ``tolerance`` (max abs difference)."""

    file: FileName
    tolerance: Annotated[float, Field(gt=0)]


class Dataset(_Frozen):
    """What the weights were trained and measured on; ``files`` maps each source file to its sha256."""

    name: str
    licence: str
    source: str
    files: dict[str, Sha256]
    splits: dict[str, Positive] = Field(description="Examples in each split.")


class Provenance(_Frozen):
    """Where the weights came from and what was measured of them."""

    recipe: dict[str, Any]
    seed: int
    git_commit: str
    created: str
    libraries: dict[str, str]
    dataset: Dataset
    metrics: dict[str, float] = Field(description="Measured on the test split, through the serving engine.")
    parity: dict[str, float] = Field(description="Max abs difference from torch, by batch size.")
    parameters: Positive
    macs: Positive = Field(description="Multiply-accumulates for one row.")


class Card(_Frozen):
    """``model.json``, whole."""

    name: Name
    version: Positive
    task: Literal["classify"]
    title: str
    lecture: str = Field(description="Lecture section or paper the model comes from.")
    description: str
    graph: Graph
    preprocessing: Preprocessing
    classes: Classes
    parameters: ClassifyParameters
    golden: Golden
    files: dict[FileName, Sha256] = Field(description="Every file of the package but model.json.")
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> "Card":
        for file in (self.graph.file, self.classes.labels, self.golden.file):
            if file not in self.files:
                raise ValueError(f"file {file!r} has no checksum under 'files'")
        _one_of("preprocessing.tensor", self.preprocessing.tensor, self.graph.inputs)
        _one_of("classes.tensor", self.classes.tensor, self.graph.outputs)
        return self


def _one_of(key: str, name: str, tensors: tuple[TensorSpec, ...]) -> None:
    names = [tensor.name for tensor in tensors]
    if name not in names:
        raise ValueError(f"{key} is {name!r}, the graph has {names}")


class Package:
    """A verified package on disk: its folder, its card and its labels."""

    def __init__(self, folder: Path, card: Card, labels: tuple[str, ...]) -> None:
        self.folder = folder
        self.card = card
        self.labels = labels

    def path(self, file: str) -> Path:
        """The path of one of the files the card names."""
        return self.folder / file

    def __repr__(self) -> str:
        return f"Package({self.card.name}/{self.card.version})"


def read_package(folder: Path) -> Package:
    """Read and verify the package in ``folder``.

    Raises:
        InvalidPackage: model.json is missing, says something it may not, does not match its folder, or a file
            is missing or has another checksum than the card says.
    """
    card = _read_card(folder / CARD)
    if (folder.parent.name, folder.name) != (card.name, str(card.version)):
        raise InvalidPackage(f"{folder}: the card says {card.name}/{card.version}, the folder does not")
    _verify_files(folder, card.files)
    return Package(folder, card, _read_labels(folder, card))


def sha256(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_card(path: Path) -> Card:
    if not path.is_file():
        raise InvalidPackage(f"{path}: no such file; a package needs its card")
    if path.stat().st_size > MAX_CARD_BYTES:
        raise InvalidPackage(f"{path}: {path.stat().st_size} bytes, a card has at most {MAX_CARD_BYTES}")
    try:
        return Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'card'}: {e['msg']}" for e in error.errors())
        raise InvalidPackage(f"{path}: {problems}") from error


def _read_labels(folder: Path, card: Card) -> tuple[str, ...]:
    path = folder / card.classes.labels
    try:
        labels = tuple(path.read_text("utf-8").splitlines())
    except UnicodeDecodeError as error:
        raise InvalidPackage(f"{path}: {error}") from error
    classes = next(t.shape[-1] for t in card.graph.outputs if t.name == card.classes.tensor)
    if len(labels) != classes:
        raise InvalidPackage(f"{path}: {len(labels)} labels for {classes} classes")
    if card.parameters.top_k.minimum < 1 or card.parameters.top_k.maximum > len(labels):
        raise InvalidPackage(f"{folder / CARD}: parameters.top_k may be 1 to {len(labels)}, one for each label")
    return labels


def _verify_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, wanted in files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise InvalidPackage(f"{path}: the card names this file and it is not there")
        if (found := sha256(path)) != wanted:
            raise InvalidPackage(f"{path}: sha256 {found}, the card says {wanted}")
