"""The options of a captioning request, checked against the model's card."""

import math
from typing import Literal, NamedTuple, cast

from service.engine import DecodingOptions, Model, Options
from service.engine.options import checked_seed
from service.engine.sampling_parameters import checked_sampling_parameters
from service.errors import InvalidArgument
from service.package import CaptionCard
from service.package.token_choice import LOG_PROBABILITY, SCORE, TOKEN, Strategy
from service.tasks.captioning import ATTENTIONS, CaptionAsk
from service.tasks.detokenizer import read_words
from service.tasks.picture import picture_size
from service.tasks.refusal import refusal

Shown = Literal["none", "values", "png"]


class CaptionOptions(NamedTuple):
    """The options of a request, checked.

    Attributes:
        engine: the options of the request to the engine.
        outputs: the outputs that the request needs.
        sampled: whether tokens are drawn, so that a seed matters.
        attention: how attention is shown.
    """

    engine: Options
    outputs: tuple[str, ...]
    sampled: bool
    attention: Shown

    @classmethod
    def of(cls, model: Model, ask: CaptionAsk, most_bytes: int) -> "CaptionOptions":
        """The options in ``ask``, with the defaults of ``model``.

        Raises:
            InvalidArgument: the model does not allow an option, or the attention of the words may take more than
                ``most_bytes``. The message says what was given and what is allowed.
        """
        card = model.package.captioner
        steps = _max_words(card, ask.max_words)
        decoding = _decoding(model, ask)
        sampling = checked_sampling_parameters(card.name, card.loop, decoding, steps, rows=1)
        assert sampling is not None  # a captioner's loop has a choice
        sampled = sampling.strategy == "sample"
        if ask.seed is not None and not sampled:
            raise InvalidArgument(
                f"seed was given with strategy {sampling.strategy!r}; it is allowed with 'sample' only"
            )
        engine = Options(steps=steps, seed=ask.seed, decoding=decoding)
        checked_seed(card.name, engine)
        attention = _attention(card, ask.attention)
        _check_size(card, attention, sampling.n_best * steps, most_bytes)
        seen = (card.attention.tensor,) if attention != "none" and card.attention else ()
        return cls(engine, (TOKEN.name, LOG_PROBABILITY.name, SCORE.name, *seen), sampled, attention)


def _max_words(card: CaptionCard, given: int | None) -> int:
    allowed = card.loop.steps
    if given is None:
        return allowed.default
    if not allowed.minimum <= given <= allowed.maximum:
        raise InvalidArgument(
            f"max_words is {given}; model {card.name!r} allows {allowed.minimum} to {allowed.maximum}"
        )
    return given


def _decoding(model: Model, ask: CaptionAsk) -> DecodingOptions:
    return DecodingOptions(
        strategy=cast(Strategy | None, ask.strategy or None),  # the engine refuses another
        temperature=ask.temperature,
        top_k=ask.top_k,
        top_p=ask.top_p,
        beam_width=ask.beam_width,
        length_penalty=ask.length_penalty,
        n_best=ask.n_best,
        prefix=read_words(model, ask.prefix),
    )


def _attention(card: CaptionCard, given: str) -> Shown:
    if given in ("", "none"):
        return "none"
    if card.attention is None or given not in ATTENTIONS:
        raise refusal(card.name, "attention", given, ATTENTIONS if card.attention else ())
    return cast(Shown, given)


def _check_size(card: CaptionCard, attention: Shown, words: int, most_bytes: int) -> None:
    if attention == "none" or card.attention is None:
        return
    grid, preprocessing = card.attention, card.preprocessing
    picture = 3 * math.prod(picture_size(preprocessing.height, preprocessing.width))  # unpacked
    each = picture if attention == "png" else 4 * grid.height * grid.width
    if words * each > most_bytes:
        raise InvalidArgument(
            f"max_words times n_best is {words}; attention {attention!r} of model {card.name!r} allows "
            f"at most {most_bytes // each}"
        )
