"""The options of a segmentation request, checked against the model's card."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from service.engine import Model
from service.errors import InvalidArgument, TooLarge
from service.package import OUTPUTS, ClassifyCard, Output, SegmentCard
from service.tasks.locate_options import DEFAULT_OUTPUTS, LocateOptions, refuse_locating
from service.tasks.png import MEDIA_TYPE
from service.tasks.refusal import refusal
from service.tasks.segmentation import SegmentAsk
from service.tasks.task import PictureAnswer

OPACITY = 0.5
# Bytes of the pictures and indices of one answer, before they are compressed: an overlay of 22 million pixels.
MOST_BYTES = 64 << 20
# Bytes a pixel; what is not here has a limit of its own.
_PIXEL_BYTES: dict[Output, int] = {"mask": 1, "indices": 1, "overlay": 3}
_PICTURES = ("mask", "overlay")


class SegmentOptions(NamedTuple):
    """The options, with the card's defaults filled in.

    Attributes:
        outputs: what is returned.
        opacity: of the overlay's colours, 0 to 1.
        overlap: of neighbouring tiles, in pixels; None if the image is not tiled.
        locate: how a classifier locates a label; None for a segmenter.
    """

    outputs: Collection[Output]
    opacity: float
    overlap: int | None
    locate: LocateOptions | None

    @classmethod
    def of(cls, model: Model, ask: SegmentAsk) -> "SegmentOptions":
        """The options in ``ask``, with the defaults of ``model``.

        Raises:
            InvalidArgument: the model does not allow an option; the message says what was given and what is allowed.
        """
        if isinstance(model.card, ClassifyCard):
            locate = LocateOptions.of(model.card, model.package.labels, ask)
            outputs = _outputs(model.name, ask.output, DEFAULT_OUTPUTS, OUTPUTS)
            return cls(outputs, _opacity(ask.opacity, outputs), None, locate)
        card = model.package.segmenter
        refuse_locating(model.name, ask)
        outputs = _outputs(model.name, ask.output, card.parameters.output.default, card.outputs)
        # The request for a batch is of a type of its own, which has no tiles.
        overlap = _overlap(card, ask) if isinstance(ask, SegmentAsk) else None
        return cls(outputs, _opacity(ask.opacity, outputs), overlap, None)

    @property
    def full_size(self) -> bool:
        """Whether something needs the mask at the image's size."""
        return any(output != "statistics" for output in self.outputs)

    def check_size(self, sizes: Sequence[int]) -> None:
        """Check that what is returned for images of so many pixels each takes at most `MOST_BYTES` together.

        Raises:
            TooLarge: it may take more.
        """
        each, pixels = sum(_PIXEL_BYTES.get(output, 0) for output in self.outputs), sum(sizes)
        if pixels * each > MOST_BYTES:
            sent = "the image has" if len(sizes) == 1 else f"the {len(sizes)} images together have"
            raise TooLarge(
                f"{sent} {pixels} pixels; with output '{','.join(self.outputs)}' at most {MOST_BYTES // each} "
                "are allowed"
            )


def _outputs(
    model: str, given: str, default: tuple[Output, ...], allowed_outputs: Sequence[Output]
) -> tuple[Output, ...]:
    if not given:
        return default
    allowed: dict[str, Output] = {output: output for output in allowed_outputs}
    found: list[Output] = []
    for name in map(str.strip, given.split(",", len(OUTPUTS))):  # no more pieces: a text may be very long
        if name not in allowed:
            raise refusal(model, "output", name, allowed_outputs)
        if allowed[name] in found:
            raise InvalidArgument(f"output has {name!r} twice; once is allowed")
        found.append(allowed[name])
    return tuple(found)


def _opacity(given: float | None, outputs: Collection[Output]) -> float:
    if given is None:
        return OPACITY
    if "overlay" not in outputs:
        raise InvalidArgument("opacity was given; it is allowed with output 'overlay' only")
    if not 0 <= given <= 1:
        raise InvalidArgument(f"opacity is {given:.15g}; allowed is 0 to 1")
    return given


def _overlap(card: SegmentCard, ask: SegmentAsk) -> int | None:
    if not ask.tile:
        if ask.overlap is not None:
            raise InvalidArgument("overlap was given; it is allowed with tile true only")
        return None
    height, width = card.preprocessing.height, card.preprocessing.width
    most = min(height, width) // 2
    if ask.overlap is None:
        return most // 2
    if not 0 <= ask.overlap <= most:
        raise InvalidArgument(
            f"overlap is {ask.overlap}; model {card.name!r} with tiles of {width}x{height} allows 0 to {most}"
        )
    return ask.overlap


def _picture_ask(ask: SegmentAsk) -> SegmentAsk:
    """The request for a picture alone: the mask, or the overlay.

    Raises:
        InvalidArgument: it asks for something else.
    """
    output = ask.output.strip() or "mask"
    if output not in _PICTURES:
        raise InvalidArgument(
            f"output is {output[:80]!r}; with 'accept: {MEDIA_TYPE}' it may be {' or '.join(_PICTURES)}"
        )
    return ask.model_copy(update={"output": output})


def _picture(answer: Any) -> bytes:
    found: bytes = answer.overlay if answer.mask is None else answer.mask
    return found


PICTURE = PictureAnswer(MEDIA_TYPE, _picture_ask, _picture)
