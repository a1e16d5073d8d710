"""What a caller of a captioner chose, once the model is known to have it."""

import math
from typing import Literal, NamedTuple, cast

from service.engine import Decoding, Model, Options
from service.engine.decoding import checked_decoding
from service.engine.options import checked_seed
from service.errors import InvalidArgument
from service.package import CaptionCard
from service.package.choice import LOG_PROBABILITY, SCORE, TOKEN, Strategy
from service.tasks.captioning import ATTENTIONS, CaptionAsk
from service.tasks.picture import picture_size
from service.tasks.refusal import refusal
from service.tasks.text import read_words

Shown = Literal["none", "values", "png"]


class CaptionChoice(NamedTuple):
    """The options of a request, checked.

    Attributes:
        options: what is asked of the engine.
        outputs: what its emissions must hold.
        sampled: whether a seed matters.
        attention: how it is shown.
    """

    options: Options
    outputs: tuple[str, ...]
    sampled: bool
    attention: Shown

    @classmethod
    def of(cls, model: Model, ask: CaptionAsk, most_bytes: int) -> "CaptionChoice":
        """The choice ``ask`` makes of what the captioner ``model`` has.

        Raises:
            InvalidArgument: naming the option, what came and what the model takes; or the attention of so many words
                may have over ``most_bytes``.
        """
        card = model.package.captioner
        steps = _max_words(card, ask.max_words)
        decoding = _decoding(model, ask)
        choosing = checked_decoding(card.name, card.loop, decoding, steps, rows=1)
        assert choosing is not None  # a captioner's loop has a choice
        sampled = choosing.strategy == "sample"
        if ask.seed is not None and not sampled:
            raise InvalidArgument(
                f"seed was given with strategy {choosing.strategy!r}; it is allowed with 'sample' only"
            )
        asked = Options(steps=steps, seed=ask.seed, decoding=decoding)
        checked_seed(card.name, asked)
        attention = _attention(card, ask.attention)
        _check_size(card, attention, choosing.n_best * steps, most_bytes)
        seen = (card.attention.tensor,) if attention != "none" and card.attention else ()
        return cls(asked, (TOKEN.name, LOG_PROBABILITY.name, SCORE.name, *seen), sampled, attention)


def _max_words(card: CaptionCard, came: int | None) -> int:
    allowed = card.loop.steps
    if came is None:
        return allowed.default
    if not allowed.minimum <= came <= allowed.maximum:
        raise InvalidArgument(f"max_words is {came}; model {card.name!r} allows {allowed.minimum} to {allowed.maximum}")
    return came


def _decoding(model: Model, ask: CaptionAsk) -> Decoding:
    return Decoding(
        strategy=cast(Strategy | None, ask.strategy or None),  # the engine refuses another
        temperature=ask.temperature,
        top_k=ask.top_k,
        top_p=ask.top_p,
        beam_width=ask.beam_width,
        length_penalty=ask.length_penalty,
        n_best=ask.n_best,
        prefix=read_words(model, ask.prefix),
    )


def _attention(card: CaptionCard, came: str) -> Shown:
    if came in ("", "none"):
        return "none"
    if card.attention is None or came not in ATTENTIONS:
        raise refusal(card.name, "attention", came, ATTENTIONS if card.attention else ())
    return cast(Shown, came)


def _check_size(card: CaptionCard, attention: Shown, words: int, most_bytes: int) -> None:
    if attention == "none" or card.attention is None:
        return
    grid, preprocessing = card.attention, card.preprocessing
    picture = 3 * math.prod(picture_size(preprocessing.height, preprocessing.width))  # unpacked
    each = picture if attention == "png" else 4 * grid.height * grid.width
    if words * each > most_bytes:
        raise InvalidArgument(
            f"{words} words may come; attention {attention!r} of model {card.name!r} is answered "
            f"for at most {most_bytes // each}: lower max_words or n_best"
        )
