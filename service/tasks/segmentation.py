"""The fields of a segmentation request, and the result for one image."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

from service.package import OUTPUTS
from service.tasks.answer import Base64
from service.tasks.task import Ask

# The method by which a classifier locates what it finds.
CAM = "cam"
_POSITION = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_RING = {"type": "array", "items": _POSITION}
_MULTI_POLYGON = {"type": "array", "items": {"type": "array", "items": _RING}}


class SegmentAsk(Ask):
    """An image, and in which forms its mask is returned."""

    image: bytes = Field(description="An image file, any size and colour mode.")
    output: str = Field(
        "",
        description=f"What is returned, separated by commas: {', '.join(OUTPUTS)}; empty: the card's default. "
        "instances is for models whose card says which classes can be counted.",
    )
    opacity: float | None = Field(
        None, ge=0, le=1, description="overlay: how much the colours hide of the image; empty: 0.5."
    )
    method: str = Field(
        "",
        description="How the mask is made. cam: where the class activation map of a classifier is strong; empty: as "
        "the model does it.",
        json_schema_extra={"enum": ["", CAM]},
    )
    label: str = Field("", description="cam: the label to locate, or its index; empty: the most probable.")
    threshold: float | None = Field(
        None,
        gt=0,
        le=1,
        description="cam: the share of the map's maximum from which a pixel belongs to the label; empty: 0.2.",
    )
    tile: bool = Field(
        False,
        description="Segment the image at its own resolution, in tiles of the model's size that are joined, instead of "
        "resizing it to that size.",
    )
    overlap: int | None = Field(
        None,
        ge=0,
        description="tile: by how many pixels neighbouring tiles overlap at least, up to half of a tile's shorter "
        "side; empty: a quarter of it.",
    )


class SegmentClass(BaseModel):
    """One class of the model, and how much of the image it has.

    For an image of the model's size, the numbers are the graph's. For another, they are counted over the mask at the
    image's size, whose pixels have the probability of the model's pixel that they were taken from.
    """

    label: str
    index: int
    colour: str = Field(description="In the mask's palette and in the overlay, such as #ff8000.")
    background: bool = Field(description="Whether it is no object; the overlay leaves it as it is in the image.")
    pixels: int | None = Field(None, description="statistics: the pixels with this class.")
    share: float | None = Field(None, description="statistics: their share of the image's pixels, 0 to 1.")
    confidence: float | None = Field(
        None,
        description="statistics: the mean probability of the class at these pixels; 0 if there are none. cam: the "
        "classifier's probability of the label; 0 for the background.",
    )


class RunLengthMask(BaseModel):
    """The pixels of one class, as COCO encodes them; pycocotools reads ``size`` and ``counts``."""

    label: str
    index: int
    size: list[int] = Field(description="Height and width.")
    counts: str


class Ring(BaseModel):
    """A closed line: its corners as x, y, x, y and so on, the last one the same as the first."""

    points: list[int]


class Polygon(BaseModel):
    """An outer ring, and then the rings of its holes."""

    rings: list[Ring]


def _nested(polygons: list[Polygon]) -> list[list[list[list[int]]]]:
    """The coordinates as GeoJSON nests them; messages of gRPC cannot."""
    return [
        [[list(corner) for corner in zip(ring.points[::2], ring.points[1::2], strict=True)] for ring in polygon.rings]
        for polygon in polygons
    ]


class ClassOutline(BaseModel):
    """The outlines of one class, as a geometry of GeoJSON in pixels; (0, 0) is the upper left corner of the image."""

    label: str
    index: int
    type: Literal["MultiPolygon"] = "MultiPolygon"
    coordinates: Annotated[
        list[Polygon], PlainSerializer(_nested, Any, when_used="json"), WithJsonSchema(_MULTI_POLYGON)
    ]


class Instance(BaseModel):
    """One object: pixels of the same class that touch each other, by their corners too."""

    box: list[int] = Field(description="Left, top, width and height, in pixels.")
    pixels: int


class ClassInstances(BaseModel):
    """The objects of one class."""

    label: str
    index: int
    count: int = Field(description="How many there are.")
    objects: list[Instance] = Field(description="The largest first; of many, the 1,000 largest.")


class SegmentTile(BaseModel):
    """The mask of a part of the image, whose parts do not overlap."""

    number: int = Field(description="Of the tile, from 1; tiles come row by row.")
    tiles: int = Field(description="How many there are.")
    left: int = Field(description="Where the part begins in the image, in pixels.")
    top: int
    width: int
    height: int
    mask: Base64 = Field(description="PNG in base64: each pixel is a class's index, the palette its colour.")


class Segmented(BaseModel):
    """The result for one image. What was not requested is null; a list is empty, as BentoML's clients fail on null."""

    height: int = Field(description="Of the image, upright, and of its mask, in pixels.")
    width: int
    classes: list[SegmentClass] = Field(description="All of the model's, in the order of their indices.")
    mask: Base64 | None = Field(
        None, description="PNG in base64: each pixel is a class's index, the palette its colour."
    )
    overlay: Base64 | None = Field(None, description="PNG in base64: the image under the colours of its classes.")
    indices: Base64 | None = Field(
        None, description="The class index of each pixel: uint8, row by row, height x width bytes, in base64."
    )
    rle: list[RunLengthMask] = Field([], description="One for each class that is in the image.")
    polygons: list[ClassOutline] = Field([], description="One for each class in the image but the background.")
    instances: list[ClassInstances] = Field([], description="One for each class that can be counted.")
