"""The options of a segmentation request, checked against the model's card."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from service.engine import Model
from service.errors import InvalidArgument, TooLarge
from service.package import OUTPUTS, Output, SegmentCard
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
    """

    outputs: Collection[Output]
    opacity: float

    @classmethod
    def of(cls, model: Model, ask: SegmentAsk) -> "SegmentOptions":
        """The options in ``ask``, with the defaults of ``model``.

        Raises:
            InvalidArgument: the model does not allow an option; the message says what was given and what is allowed.
        """
        outputs = _outputs(model.package.segmenter, ask.output)
        if ask.opacity is None:
            return cls(outputs, OPACITY)
        if "overlay" not in outputs:
            raise InvalidArgument("opacity was given; it is allowed with output 'overlay' only")
        if not 0 <= ask.opacity <= 1:
            raise InvalidArgument(f"opacity is {ask.opacity:g}; allowed is 0 to 1")
        return cls(outputs, ask.opacity)

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


def _outputs(card: SegmentCard, given: str) -> tuple[Output, ...]:
    if not given:
        return card.parameters.output.default
    allowed: dict[str, Output] = {output: output for output in card.outputs}
    found: list[Output] = []
    for name in map(str.strip, given.split(",", len(OUTPUTS))):  # no more pieces: a text may be very long
        if name not in allowed:
            raise refusal(card.name, "output", name, card.outputs)
        if allowed[name] in found:
            raise InvalidArgument(f"output has {name!r} twice; once is allowed")
        found.append(allowed[name])
    return tuple(found)


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
