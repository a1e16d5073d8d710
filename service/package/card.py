"""The card, ``model.json``: the whole of what a package may say of itself.

It says what goes in, what comes out, and where it all came from.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from service.package.explain import Explain
from service.package.graph import FileName, Frozen, Graph, IntegerParameter, Positive, find
from service.package.loop import Loop
from service.package.serving import Serving

CARD = "model.json"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Preprocessing(Frozen):
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


class Classes(Frozen):
    """A classifier's answer: ``tensor`` holds probabilities (batch, classes), ``labels`` one label a line."""

    tensor: str
    labels: FileName


Views = Literal["single", "flip", "ten_crop"]
VIEWS: tuple[Views, ...] = get_args(Views)


class ViewsParameter(Frozen):
    """How many views of an image a caller may have averaged."""

    default: Views = "single"
    allowed: tuple[Views, ...] = VIEWS

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if self.default not in self.allowed or len(set(self.allowed)) < len(self.allowed):
            raise ValueError(f"default is {self.default!r}, allowed are {list(self.allowed)}; it once, and none twice")
        return self


class ClassifyParameters(Frozen):
    """What a caller of a classifier may set."""

    top_k: IntegerParameter
    views: ViewsParameter = ViewsParameter()


class Golden(Frozen):
    """An ``.npz`` of inputs and the outputs they must give.

    ``tolerance`` is the largest absolute difference, in parts of an output's largest value where that is over 1. Of a
    graph beside the program, the arrays have its name before theirs, as ``deconv.image``.
    """

    file: FileName
    tolerance: Annotated[float, Field(gt=0)]


class Dataset(Frozen):
    """What the weights were trained and measured on; ``files`` maps each source file to its sha256."""

    name: str
    licence: str
    source: str
    files: dict[str, Sha256]
    splits: dict[str, Positive] = Field(description="Examples in each split.")


class Provenance(Frozen):
    """Where the weights came from and what was measured of them."""

    recipe: dict[str, Any]
    seed: int
    git_commit: str
    created: str
    libraries: dict[str, str]
    dataset: Dataset | None = Field(description="None where the weights came from a file, and nothing was measured.")
    metrics: dict[str, float] = Field(description="Measured on the test split, through the serving engine.")
    parity: dict[str, float] = Field(description="Max abs difference from torch, by batch size.")
    parameters: Annotated[int, Field(ge=0, description="Trainable values.")]
    macs: Positive = Field(description="Multiply-accumulates for one row.")
    weights: Literal["float32", "float16", "int8"] = "float32"
    temperature: Annotated[float, Field(gt=0, description="What the logits are divided by, for calibration.")] = 1.0


class Card(Frozen):
    """What the cards of all tasks say."""

    name: Name
    version: Positive
    task: str
    title: str = ""
    lecture: str = Field("", description="Lecture section or paper the model comes from.")
    description: str = ""
    serving: Serving = Serving()
    golden: Golden | None = None
    files: dict[FileName, Sha256] = Field(description="Every file of the package but model.json.")
    provenance: Provenance | None = None

    @property
    @abstractmethod
    def program(self) -> Graph | Loop:
        """What is run for a request; its ``inputs`` and ``outputs`` are the caller's."""

    @property
    def parts(self) -> Mapping[str, Graph]:
        """Graphs beside the program, each run once for a request that names it."""
        return {}

    @property
    def label_files(self) -> dict[str, str]:
        """The file of labels of each output that has one, a label a line."""
        return {}

    @model_validator(mode="after")
    def _files_are_known(self) -> "Card":
        golden = (self.golden.file,) if self.golden else ()
        text = self.program.text if isinstance(self.program, Loop) else None
        vocabulary = (text.vocabulary,) if text else ()
        parts = tuple(part.file for part in self.parts.values())
        for file in (*self.program.files, *parts, *self.label_files.values(), *vocabulary, *golden):
            if file not in self.files:
                raise ValueError(f"file {file!r} has no checksum under 'files'")
        return self


class TensorCard(Card):
    """A package served at tensor level, with nothing said of what its tensors mean: a graph or a loop."""

    task: Literal["tensor"] = "tensor"
    graph: Graph | None = None
    loop: Loop | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_program(cls, card: Any) -> Any:
        if isinstance(card, dict) and (card.get("graph") is None) == (card.get("loop") is None):
            raise ValueError("one of graph and loop is wanted")
        return card

    @property
    def program(self) -> Graph | Loop:
        """The graph or the loop."""
        program = self.graph or self.loop
        assert program is not None  # _one_program
        return program


class ClassifyCard(Card):
    """A classifier's."""

    task: Literal["classify"] = "classify"
    title: str
    lecture: str = Field(description="Lecture section or paper the model comes from.")
    description: str
    graph: Graph
    preprocessing: Preprocessing
    classes: Classes
    parameters: ClassifyParameters
    explain: Explain = Explain()
    golden: Golden
    provenance: Provenance

    @property
    def program(self) -> Graph:
        """The graph."""
        return self.graph

    @property
    def parts(self) -> Mapping[str, Graph]:
        """``deconv``, where it explains itself so."""
        deconv = self.explain.deconv
        return {"deconv": deconv.graph} if deconv else {}

    @property
    def label_files(self) -> dict[str, str]:
        """The classes' labels."""
        return {self.classes.tensor: self.classes.labels}

    @model_validator(mode="after")
    def _tensors_are_there(self) -> "ClassifyCard":
        image = find(self.graph.inputs, self.preprocessing.tensor, "preprocessing.tensor")
        classes = find(self.graph.outputs, self.classes.tensor, "classes.tensor")
        if self.explain.cam:
            self.explain.cam.check(self.graph.outputs, classes.shape[-1])
        if self.explain.deconv:
            self.explain.deconv.check(image)
        return self
