"""The card of a model that gives every pixel of an image a class."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from service.package.card import Card, Golden, Preprocessing
from service.package.graph import (
    MAX_RUN_BYTES,
    FileName,
    Frozen,
    Graph,
    TensorName,
    TensorSpec,
    Words,
    find,
)
from service.package.provenance import Provenance

# A mask has one byte a pixel.
MAX_CLASSES = 256

Colour = Annotated[str, StringConstraints(pattern="^#[0-9a-fA-F]{6}$", to_lower=True)]
ClassIndex = Annotated[int, Field(ge=0, le=MAX_CLASSES - 1)]
Output = Literal["statistics", "mask", "overlay", "rle", "polygons", "indices", "instances"]
OUTPUTS: tuple[Output, ...] = get_args(Output)


class Segmentation(Frozen):
    """The outputs of the graph, for images of height H and width W and K classes, and what the classes are.

    Attributes:
        mask: names the most probable class of each pixel, (batch, H, W) uint8.
        probability: names the probability of that class, (batch, H, W).
        area: names the number of pixels of each class, (batch, K) int64.
        confidence: names the mean probability of the pixels of each class, (batch, K); 0 where there are none.
        labels: the file with a label of each class, one per line.
        palette: the colour of each class, such as ``#ff8000``.
        background: the class that is no object, if there is one.
        countable: the classes whose connected regions are single objects, such as nuclei.
    """

    mask: TensorName
    probability: TensorName
    area: TensorName
    confidence: TensorName
    labels: FileName
    palette: Annotated[tuple[Colour, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    background: ClassIndex | None = None
    countable: Annotated[tuple[ClassIndex, ...], Field(max_length=MAX_CLASSES)] = ()

    def check(self, outputs: tuple[TensorSpec, ...]) -> None:
        """Check that the graph has these ``outputs``, and that they have as many classes as there are colours.

        Raises:
            ValueError: it has not.
        """
        classes = len(self.palette)
        wanted: dict[str, tuple[str, tuple[int, ...]]] = {
            "mask": ("UINT8", (-1, -1, -1)),
            "probability": ("FP32", (-1, -1, -1)),
            "area": ("INT64", (-1, classes)),
            "confidence": ("FP32", (-1, classes)),
        }
        for field, (datatype, shape) in wanted.items():
            name = getattr(self, field)
            found = find(outputs, name, f"segmentation.{field}")
            if (found.datatype, found.shape) != (datatype, shape):
                raise ValueError(
                    f"segmentation.{field} {name!r} is {found.datatype} {list(found.shape)}; "
                    f"with {classes} colours in segmentation.palette it must be {datatype} {list(shape)}"
                )

    @model_validator(mode="after")
    def _classes_exist(self) -> Self:
        highest = len(self.palette) - 1
        if self.background is not None and self.background > highest:
            raise ValueError(f"background is {self.background}; with {highest + 1} colours it may be 0 to {highest}")
        if len(set(self.countable)) < len(self.countable) or any(index > highest for index in self.countable):
            raise ValueError(
                f"countable is {list(self.countable)}; with {highest + 1} colours it may have each of 0 to {highest} "
                "once"
            )
        if self.background in self.countable:
            raise ValueError(f"class {self.background} is in countable and is the background; it can only be one")
        return self


class OutputParameter(Frozen):
    """The forms in which a caller may have the mask."""

    default: Annotated[tuple[Output, ...], Field(min_length=1, max_length=len(OUTPUTS))] = ("statistics", "mask")
    allowed: Annotated[tuple[Output, ...], Field(max_length=len(OUTPUTS))] = OUTPUTS

    @model_validator(mode="after")
    def _defaults_are_allowed(self) -> Self:
        twice = any(len(set(each)) < len(each) for each in (self.default, self.allowed))
        if twice or not set(self.default) <= set(self.allowed):
            raise ValueError(
                f"default is {list(self.default)} and allowed is {list(self.allowed)}; allowed must include the "
                "defaults, and each output once"
            )
        return self


class SegmentParameters(Frozen):
    """The parameters that a caller of a segmenter may set."""

    output: OutputParameter = OutputParameter()


class SegmentCard(Card):
    """The card of a segmenter, whose graph takes images of any height and width.

    ``preprocessing`` has the size that the model was trained at; images are brought to it, and masks back from it.
    """

    task: Literal["segment"] = "segment"
    title: Words
    lecture: Words = Field(description="Lecture section or paper the model comes from.")
    description: Words
    graph: Graph
    preprocessing: Preprocessing
    segmentation: Segmentation
    parameters: SegmentParameters = SegmentParameters()
    golden: Golden
    provenance: Provenance

    @property
    def program(self) -> Graph:
        """The graph."""
        return self.graph

    @property
    def label_files(self) -> dict[str, str]:
        """The classes' labels."""
        return dict.fromkeys((self.segmentation.area, self.segmentation.confidence), self.segmentation.labels)

    @property
    def row_elements(self) -> dict[str, int]:
        """Those of an image of the size that the model was trained at."""
        said = self.preprocessing
        return {said.tensor: said.height * said.width * (3 if said.colour == "rgb" else 1)}

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The forms in which a caller may have the mask; ``instances`` only if the model has classes to count."""
        allowed = self.parameters.output.allowed
        return allowed if self.segmentation.countable else tuple(each for each in allowed if each != "instances")

    @model_validator(mode="after")
    def _is_a_segmenter(self) -> "SegmentCard":
        self._check_image()
        self.segmentation.check(self.graph.outputs)
        if not self.graph.max_batch:
            raise ValueError("graph.max_batch is 0; a segmenter's graph needs a batch dimension")
        if self.preprocessing.fit == "crop":
            raise ValueError(
                "preprocessing.fit is 'crop', which leaves pixels without a class; allowed are stretch, pad"
            )
        if not set(self.parameters.output.default) <= set(self.outputs):
            raise ValueError("parameters.output.default has 'instances', but segmentation.countable has no class")
        self._check_memory()
        return self

    def _check_image(self) -> None:
        image = find(self.graph.inputs, self.preprocessing.tensor, "preprocessing.tensor")
        shape = (-1, -1, -1, 3) if self.preprocessing.colour == "rgb" else (-1, -1, -1)
        if (image.datatype, image.shape) != ("UINT8", shape):
            raise ValueError(
                f"preprocessing.tensor {image.name!r} is {image.datatype} {list(image.shape)}; "
                f"a segmenter's {self.preprocessing.colour} image must be UINT8 {list(shape)}"
            )
        if len(self.graph.inputs) > 1:
            names = [tensor.name for tensor in self.graph.inputs]
            raise ValueError(f"graph.inputs are {names}; a segmenter takes only an image")

    def _check_memory(self) -> None:
        """Check the bytes of a run at the size of the preprocessing; the graph itself only says that any size fits."""
        size = self.preprocessing.height * self.preprocessing.width
        free = [tensor for tensor in (*self.graph.inputs, *self.graph.outputs) if tensor.shape[1:3] == (-1, -1)]
        wanted = size * sum(tensor.bytes_of(self.graph.max_batch) for tensor in free)
        if wanted > MAX_RUN_BYTES:
            raise ValueError(
                f"a run of max_batch {self.graph.max_batch} at preprocessing's size takes {wanted} bytes of inputs and "
                f"outputs; at most {MAX_RUN_BYTES} are allowed"
            )
