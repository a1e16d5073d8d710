"""The card, ``model.json``: describes a package's inputs, its outputs, and where it came from."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from service.package.embedding import Embedding
from service.package.explain import Explain
from service.package.graph import (
    FileName,
    Finite,
    Frozen,
    Graph,
    IntegerParameter,
    Side,
    TensorName,
    Words,
    check_numbers,
    find,
)
from service.package.loop import Loop
from service.package.provenance import MAX_FILES, Provenance, Sha256
from service.package.serving import Serving, Version

CARD = "model.json"

MAX_PARTS = 16
DECODER, DECONV, SCORE = "decoder", "deconv", "score"
# Names of graphs that cards have elsewhere, which are prefixes in the golden example.
RESERVED = frozenset({"step", "encoder", DECODER, DECONV, SCORE})

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Preprocessing(Frozen):
    """How any image becomes the graph's uint8 input, (H, W) for ``grey`` and (H, W, 3) for ``rgb``.

    ``fit`` says how an image of another aspect ratio is fitted: ``stretch`` distorts it, ``crop`` keeps the centre,
    ``pad`` adds a border of ``background``, which is also used behind transparent pixels.
    """

    tensor: TensorName
    colour: Literal["grey", "rgb"]
    height: Side
    width: Side
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    background: Annotated[int, Field(ge=0, le=255)] = 0


class Classes(Frozen):
    """A classifier's answer: ``tensor`` has probabilities (batch, classes), the file ``labels`` one label per line."""

    tensor: TensorName
    labels: FileName


Views = Literal["single", "flip", "ten_crop"]
VIEWS: tuple[Views, ...] = get_args(Views)


class ViewsParameter(Frozen):
    """The views of an image that a caller may have averaged."""

    default: Views = "single"
    allowed: Annotated[tuple[Views, ...], Field(max_length=len(VIEWS))] = VIEWS

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if self.default not in self.allowed or len(set(self.allowed)) < len(self.allowed):
            raise ValueError(
                f"default is {self.default!r} and allowed is {list(self.allowed)}; allowed must include the default, "
                "and each view once"
            )
        return self


class ClassifyParameters(Frozen):
    """The parameters that a caller of a classifier may set."""

    top_k: IntegerParameter
    views: ViewsParameter = ViewsParameter()


class Golden(Frozen):
    """An ``.npz`` file of inputs and the outputs they must give.

    ``tolerance`` is the largest absolute difference allowed, relative to an output's largest value if that is over 1.
    ``unequal`` is the share of the elements of an output of whole numbers that may differ by more: where two classes
    are almost as probable, the most probable one depends on how a processor rounds. The arrays of a further graph have
    its name as a prefix, such as ``deconv.image``.
    """

    file: FileName
    tolerance: Annotated[Finite, Field(gt=0, le=1e6)]
    unequal: Annotated[Finite, Field(ge=0, le=0.1)] = 0.0


class Card(Frozen):
    """The fields that the cards of all tasks share."""

    name: Name
    version: Version
    task: str
    title: Words = ""
    lecture: Words = Field("", description="Lecture section or paper the model comes from.")
    description: Words = ""
    serving: Serving = Serving()
    parts: Annotated[dict[Name, Graph], Field(max_length=MAX_PARTS)] = Field(
        {}, description="Further graphs beside the program; each runs once for a request that names it."
    )
    golden: Golden | None = None
    files: dict[FileName, Sha256] = Field(max_length=MAX_FILES, description="Every file of the package but model.json.")
    provenance: Provenance | None = None

    @property
    @abstractmethod
    def program(self) -> Graph | Loop:
        """The graph or loop that runs for a request; its ``inputs`` and ``outputs`` are the caller's."""

    @property
    def beside(self) -> Mapping[str, Graph]:
        """The graphs beside the program that a request may name: the parts, and a loop's decoder as ``decoder``."""
        decoder = self.program.decoder if isinstance(self.program, Loop) else None
        return {**self.parts, **({DECODER: decoder} if decoder else {})}

    @property
    def label_files(self) -> dict[str, str]:
        """The file of labels, one per line, of each tensor that has one."""
        return {}

    @property
    def row_elements(self) -> dict[str, int]:
        """The elements of a row of the size that the model is made for, of each input of any size, as far as known.

        A run has at most ``max_batch`` times as many, in fewer rows if they are larger.
        """
        return {}

    @model_validator(mode="after")
    def _files_are_known(self) -> "Card":
        golden = (self.golden.file,) if self.golden else ()
        text = self.program.text if isinstance(self.program, Loop) else None
        vocabulary = (text.vocabulary,) if text else ()
        parts = tuple(part.file for part in self.beside.values())
        for file in (*self.program.files, *parts, *self.label_files.values(), *vocabulary, *golden):
            if file not in self.files:
                raise ValueError(f"file {file!r} has no checksum under 'files'")
        return self

    @model_validator(mode="after")
    def _parts_are_graphs(self) -> "Card":
        for name, part in self.parts.items():
            if name in RESERVED:
                raise ValueError(f"parts has {name!r}; a part may not be called {', '.join(sorted(RESERVED))}")
            if not part.max_batch:
                raise ValueError(f"parts.{name}: max_batch is 0; the graph needs a batch dimension")
        return self


class TensorCard(Card):
    """The card of a graph or a loop served at tensor level; it says nothing about the meaning of the tensors."""

    task: Literal["tensor"] = "tensor"
    graph: Graph | None = None
    loop: Loop | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_program(cls, card: Any) -> Any:
        if isinstance(card, dict) and (card.get("graph") is None) == (card.get("loop") is None):
            raise ValueError("exactly one of 'graph' and 'loop' is required")
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
    title: Words
    lecture: Words = Field(description="Lecture section or paper the model comes from.")
    description: Words
    graph: Graph
    preprocessing: Preprocessing
    classes: Classes
    parameters: ClassifyParameters
    explain: Explain = Explain()
    embedding: Embedding | None = Field(None, description="None if the network has no hidden layer.")
    golden: Golden
    provenance: Provenance

    @property
    def program(self) -> Graph:
        """The graph."""
        return self.graph

    @property
    def beside(self) -> Mapping[str, Graph]:
        """The parts, and ``deconv`` if the card has it."""
        deconv = self.explain.deconv
        return {**self.parts, **({DECONV: deconv.graph} if deconv else {})}

    @property
    def label_files(self) -> dict[str, str]:
        """The classes' labels."""
        return {self.classes.tensor: self.classes.labels}

    @model_validator(mode="after")
    def _tensors_are_there(self) -> "ClassifyCard":
        image = find(self.graph.inputs, self.preprocessing.tensor, "preprocessing.tensor")
        classes = find(self.graph.outputs, self.classes.tensor, "classes.tensor")
        check_numbers(image, classes)
        if self.explain.cam:
            self.explain.cam.check(self.graph.outputs, classes.shape[-1])
        if self.explain.deconv:
            self.explain.deconv.check(image)
        if self.embedding:
            self.embedding.check(self.graph.outputs)
        return self
