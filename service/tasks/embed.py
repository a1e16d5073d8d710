"""Embedding: gives the feature vectors of images, from which a classifier computes the scores of its classes."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.engine import Model
from service.package import Card, ClassifyCard
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.feature_vectors import feature_vectors
from service.tasks.made_types import answer_of, batch_answer_of, batch_ask_of
from service.tasks.task import Ask, BatchTask


class EmbedAsk(Ask):
    """An image, and whether to normalise its feature vector."""

    image: bytes = Field(description="An image file, any size and colour mode.")
    normalize: bool = Field(False, description="Divide the vector by its Euclidean (L2) norm.")


class Embedded(BaseModel):
    """The feature vector of one image."""

    embedding: list[float] = Field(description="As many numbers as the model's card says.")


class Embed(BatchTask[EmbedAsk, Embedded]):
    """Embeds images with any served classifier whose card has an ``embedding``."""

    name = "embed"
    does = "embed images"
    summary = "The feature vector of one image: the input of the classifier's last linear layer."
    card = ClassifyCard
    ask = EmbedAsk
    answer = answer_of("ImageEmbedding", Embedded)
    many = "image"
    result = Embedded
    batch_summary = "The feature vector of each of several images; if one is refused, all are."
    batch_ask = batch_ask_of(EmbedAsk, many)
    batch_answer = batch_answer_of("ImageEmbeddingBatch", Embedded)

    @classmethod
    def serves(cls, card: Card) -> bool:
        """Whether it is the card of a classifier with an embedding."""
        return isinstance(card, ClassifyCard) and card.embedding is not None

    async def results(
        self, model: Model, ask: EmbedAsk, items: Sequence[bytes], caller: Caller, *, batch: bool
    ) -> tuple[list[Embedded], Timing]:
        """The feature vector of each image, and how long the stages took.

        Raises:
            InvalidArgument: a batch has no image or too many.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `ImageDecoder`.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
            InternalError: a vector is not finite.
        """
        card = model.package.classifier
        began = time.perf_counter()
        if batch:
            rows = await self.decode.many(items, card.preprocessing, caller=caller)
        else:
            rows = [await self.decode(items[0], card.preprocessing, caller=caller)]
        decode_s = time.perf_counter() - began
        vectors, answer = await feature_vectors(self.engine, model, rows, caller.deadline)
        if ask.normalize:
            vectors = normalized(vectors)
        timing = Timing(queue_ms=answer.queue_s * 1e3, decode_ms=decode_s * 1e3, compute_ms=answer.compute_s * 1e3)
        return [Embedded(embedding=vector) for vector in vectors.tolist()], timing


def normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (N, D) divided by their Euclidean norms; a vector of zeros stays as it is."""
    exact = vectors.astype("f8")  # in float32 the squares may overflow
    norms = np.linalg.norm(exact, axis=1, keepdims=True)  # (N, 1)
    return (exact / np.where(norms > 0, norms, 1)).astype("f4")
