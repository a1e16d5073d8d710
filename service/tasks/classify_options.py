"""The options of a classification request, checked against the model's card."""

from typing import NamedTuple

from service.engine import Model
from service.errors import InvalidArgument
from service.package import ClassifyCard, Views
from service.tasks.classification import ClassifyAsk
from service.tasks.labels import checked_top_k, found_label
from service.tasks.refusal import refusal


class ClassifyOptions(NamedTuple):
    """The options, with the card's defaults filled in.

    Attributes:
        top_k: how many labels are answered.
        views: what the answer is averaged over.
        explain: ``cam``, ``deconv`` or "".
        label: the index of the class to explain; None for the most probable one.
        layer: an index into the card's ``explain.deconv.layers``.
    """

    top_k: int
    views: Views
    explain: str
    label: int | None
    layer: int

    @classmethod
    def of(cls, model: Model, ask: ClassifyAsk) -> "ClassifyOptions":
        """The options in ``ask``, with the defaults of ``model``.

        Raises:
            InvalidArgument: the model does not allow an option; the message says what was given and what is allowed.
        """
        card = model.package.classifier
        return cls(
            checked_top_k(card, ask.top_k),
            _views(card, ask.views),
            _explain(card, ask.explain),
            _label(card, ask, model.package.labels) if ask.explain_label else None,
            _layer(card, ask),
        )


def _views(card: ClassifyCard, given: str) -> Views:
    parameter = card.parameters.views
    if not given:
        return parameter.default
    for views in parameter.allowed:
        if given == views:
            return views
    raise refusal(card.name, "views", given, parameter.allowed)


def _explain(card: ClassifyCard, given: str) -> str:
    if given and given not in (methods := card.explain.methods):
        raise refusal(card.name, "explain", given, methods)
    return given


def _label(card: ClassifyCard, ask: ClassifyAsk, labels: tuple[str, ...]) -> int:
    given = ask.explain_label
    if ask.explain != "cam":
        raise InvalidArgument("explain_label was given; it is allowed with explain 'cam' only")
    return found_label(card.name, "explain_label", given, labels)


def _layer(card: ClassifyCard, ask: ClassifyAsk) -> int:
    deconv = card.explain.deconv
    if ask.explain != "deconv" or deconv is None:
        if ask.layer:
            raise InvalidArgument("layer was given; it is allowed with explain 'deconv' only")
        return 0
    if ask.layer and ask.layer not in deconv.layers:
        raise refusal(card.name, "layer", ask.layer, deconv.layers)
    return deconv.layers.index(ask.layer or deconv.layers[-1])
