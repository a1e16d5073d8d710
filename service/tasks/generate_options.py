"""The options of a request for samples, checked against the model's card."""

from typing import NamedTuple

import numpy as np

from service.engine import DecodingOptions, Model, Options
from service.engine.options import checked_seed, checked_steps
from service.engine.sampling_parameters import checked_sampling_parameters
from service.engine.tensors import Tensor, Tensors
from service.errors import InvalidArgument
from service.package import GenerateCard
from service.tasks.generation import OUTPUTS, GenerateAsk
from service.tasks.labels import found_label
from service.tasks.png import MEDIA_TYPE
from service.tasks.refusal import refusal
from service.tasks.task import PictureAnswer


class GenerateOptions(NamedTuple):
    """The options of a request, with the card's defaults filled in.

    Attributes:
        engine: the options of the request to the engine, with its seed.
        steps: how many steps the samples take.
        inputs: the tensors of the request, a row for each sample.
        labels: the class of each sample; empty if none was chosen.
        grid: whether all samples are answered in one picture.
    """

    engine: Options
    steps: int
    inputs: Tensors
    labels: list[str]
    grid: bool

    @classmethod
    def of(cls, model: Model, ask: GenerateAsk) -> "GenerateOptions":
        """The options in ``ask``, with the defaults of ``model``.

        Raises:
            InvalidArgument: the model does not allow an option; the message says what was given and what is allowed.
        """
        card = model.package.generator
        if ask.output not in ("", *OUTPUTS):
            raise refusal(card.name, "output", ask.output, OUTPUTS)
        count, classes = _count(card, ask.count), _classes(model, card, ask)
        engine = Options(steps=ask.steps, seed=ask.seed, decoding=_decoding(card, ask), rows=count)
        steps = checked_steps(card.name, card.loop, engine)
        engine = engine._replace(seed=checked_seed(card.name, engine))
        checked_sampling_parameters(card.name, card.loop, engine.decoding, steps, count)
        inputs = _controls(card, ask, count)
        labels: list[str] = []
        if card.parameters.label is not None:
            rows = np.resize(np.array(classes, "i8"), count)  # in turn
            inputs[card.parameters.label.tensor] = rows
            if classes[0] != card.parameters.label.unconditional:
                labels = [model.package.labels[row] for row in rows]
        return cls(engine, steps, inputs, labels, ask.output == "grid")


def _count(card: GenerateCard, given: int | None) -> int:
    allowed = card.parameters.count
    if given is None:
        return allowed.default
    if not allowed.minimum <= given <= allowed.maximum:
        raise InvalidArgument(f"count is {given}; model {card.name!r} allows {allowed.minimum} to {allowed.maximum}")
    return given


def _classes(model: Model, card: GenerateCard, ask: GenerateAsk) -> list[int]:
    """The classes that the samples have in turn, as the graph numbers them; none if the model has no classes."""
    choice = card.parameters.label
    if choice is None:
        if ask.label:
            raise refusal(card.name, "label", ask.label, ())
        return []
    if ask.label:
        return [found_label(card.name, "label", ask.label, model.package.labels)]
    if choice.unconditional is None:
        return list(range(len(model.package.labels)))
    if ask.guidance is not None:
        raise InvalidArgument("guidance was given without a label; it is allowed with one only")
    return [choice.unconditional]


def _controls(card: GenerateCard, ask: GenerateAsk, count: int) -> dict[str, Tensor]:
    controls = card.parameters.controls
    inputs: dict[str, Tensor] = {}
    for name in ("guidance", "temperature", "truncation"):
        given = getattr(ask, name)
        if name == "temperature" and card.loop.choice is not None:
            continue  # the engine's
        if name not in controls:
            if given is not None:
                raise InvalidArgument(f"{name} is {given:g}; model {card.name!r} allows none")
            continue
        allowed = controls[name]
        value = allowed.default if given is None else given
        if not allowed.minimum <= value <= allowed.maximum:  # nor is it NaN
            raise InvalidArgument(
                f"{name} is {value:g}; model {card.name!r} allows {allowed.minimum:g} to {allowed.maximum:g}"
            )
        inputs[allowed.tensor] = np.full(count, value, "f4")
    return inputs


def _decoding(card: GenerateCard, ask: GenerateAsk) -> DecodingOptions | None:
    return DecodingOptions(temperature=ask.temperature) if card.loop.choice is not None else None


def _picture_ask(ask: GenerateAsk) -> GenerateAsk:
    """The request for one picture of all samples.

    Raises:
        InvalidArgument: it asks for something else.
    """
    if ask.output not in ("", "grid"):
        raise InvalidArgument(f"output is {ask.output[:80]!r}; with 'accept: {MEDIA_TYPE}' it may be grid")
    return ask.model_copy(update={"output": "grid"})


PICTURE = PictureAnswer(MEDIA_TYPE, _picture_ask, lambda answer: answer.grid)
