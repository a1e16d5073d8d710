"""What a caller chose, once the model is known to have it."""

from typing import NamedTuple

from service.engine import Model
from service.errors import InvalidArgument
from service.package import ClassifyCard, Views
from service.tasks.classification import ClassifyAsk
from service.tasks.labels import checked_top_k
from service.tasks.refusal import refusal

_MAX_DIGITS = 9
_LISTED = 20


class Choice(NamedTuple):
    """The options of a request with the card's defaults filled in.

    ``label`` is the index of the class to explain, None for the most probable one; ``layer`` an index into the
    card's ``explain.deconv.layers``.
    """

    top_k: int
    views: Views
    explain: str
    label: int | None
    layer: int

    @classmethod
    def of(cls, model: Model, ask: ClassifyAsk) -> "Choice":
        """The choice ``ask`` makes of what the classifier ``model`` has.

        Raises:
            InvalidArgument: naming the option, what came and what the model takes.
        """
        card = model.package.classifier
        return cls(
            checked_top_k(card, ask.top_k),
            _views(card, ask.views),
            _explain(card, ask.explain),
            _label(card, ask, model.package.labels) if ask.explain_label else None,
            _layer(card, ask),
        )


def _views(card: ClassifyCard, came: str) -> Views:
    parameter = card.parameters.views
    if not came:
        return parameter.default
    for views in parameter.allowed:
        if came == views:
            return views
    raise refusal(card.name, "views", came, parameter.allowed)


def _explain(card: ClassifyCard, came: str) -> str:
    if came and came not in (methods := card.explain.methods):
        raise refusal(card.name, "explain", came, methods)
    return came


def _label(card: ClassifyCard, ask: ClassifyAsk, labels: tuple[str, ...]) -> int:
    came = ask.explain_label
    if ask.explain != "cam":
        raise InvalidArgument("explain_label was given; it is allowed with explain 'cam' only")
    if came in labels:
        return labels.index(came)
    if came.isascii() and came.isdigit() and len(came) <= _MAX_DIGITS and int(came) < len(labels):
        return int(came)
    raise refusal(card.name, "explain_label", came, [*labels[:_LISTED], f"0..{len(labels) - 1}"])


def _layer(card: ClassifyCard, ask: ClassifyAsk) -> int:
    deconv = card.explain.deconv
    if ask.explain != "deconv" or deconv is None:
        if ask.layer:
            raise InvalidArgument("layer was given; it is allowed with explain 'deconv' only")
        return 0
    if ask.layer and ask.layer not in deconv.layers:
        raise refusal(card.name, "layer", ask.layer, deconv.layers)
    return deconv.layers.index(ask.layer or deconv.layers[-1])
