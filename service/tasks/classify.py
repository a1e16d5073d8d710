"""Classification: an image file in, its most probable labels out."""

import time

from pydantic import BaseModel, Field

from service.config import Config
from service.engine import Engine, Model
from service.errors import InvalidArgument, UnknownModel
from service.package import ClassifyCard
from service.tasks.decoding import Decoder


class Label(BaseModel):
    """One class and how probable the model finds it."""

    label: str
    index: int
    probability: float


class Timing(BaseModel):
    """Where the time went, in milliseconds."""

    queue_ms: float = Field(description="Waiting for a lane.")
    decode_ms: float = Field(description="Image bytes to tensor, waiting for a decoder included.")
    compute_ms: float = Field(description="In the lane; shared with the rows of the same batch.")


class Classification(BaseModel):
    """The answer, with the model and version that gave it."""

    model: str
    version: str
    labels: list[Label] = Field(description="The most probable first.")
    timing: Timing


class Classifier:
    """Classifies images with any served package whose task is ``classify``."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._default = config.default_classifier
        self._decode = Decoder(config)

    async def __call__(
        self, image: bytes, model: str = "", version: str = "", top_k: int | None = None
    ) -> Classification:
        """The ``top_k`` most probable labels of ``image``.

        Args:
            image: an image file of one of `service.imaging.FORMATS`, any size and colour mode.
            model: the model's name; "" for the configured default.
            version: its version; "" for the highest.
            top_k: how many labels; None for the card's default.

        Raises:
            UnknownModel: no such model or version, or it does not classify.
            InvalidArgument: ``top_k`` is outside the card's range.
            InvalidImage, TooLarge, QueueFull: as `Decoder`.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
        """
        served = self.model(model, version)
        card = served.package.classifier
        count = _top_k(served, top_k)
        began = time.perf_counter()
        pixels = await self._decode(image, card.preprocessing)
        decode_s = time.perf_counter() - began
        answer = await self._engine.infer(
            served, served.version, {card.preprocessing.tensor: pixels[None]}, [card.classes.tensor]
        )
        probabilities = answer.outputs[card.classes.tensor][0]
        labels = [
            Label(label=served.package.labels[i], index=int(i), probability=float(probabilities[i]))
            for i in (-probabilities).argsort(kind="stable")[:count]
        ]
        timing = Timing(queue_ms=answer.queue_s * 1e3, decode_ms=decode_s * 1e3, compute_ms=answer.compute_s * 1e3)
        return Classification(model=served.name, version=served.version, labels=labels, timing=timing)

    def model(self, name: str, version: str) -> Model:
        """The served model, the configured default where ``name`` is "".

        Raises:
            UnknownModel: no such model or version, or none was named and the default is not served.
        """
        try:
            model = self._engine.repository.get(name or self._default, version)
        except UnknownModel as error:
            if name:
                raise
            raise UnknownModel(f"no model named in the request, and the default is not served: {error}") from error
        if not isinstance(model.card, ClassifyCard):
            raise UnknownModel(f"model {model.name!r} does not classify: its task is {model.card.task!r}")
        return model


def _top_k(model: Model, came: int | None) -> int:
    allowed = model.package.classifier.parameters.top_k
    if came is None:
        return allowed.default
    if not allowed.minimum <= came <= allowed.maximum:
        raise InvalidArgument(f"top_k {came} came; model {model.name!r} takes {allowed.minimum} to {allowed.maximum}")
    return came
