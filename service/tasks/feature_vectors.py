"""The feature vectors of images, computed by the engine with the rows of other requests."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.deadline import Deadline
from service.engine import Answer, Engine, Model, Options
from service.errors import InternalError
from service.package import ClassifyCard, Embedding


class FeatureVectors(NamedTuple):
    """The vectors, (N, dimension), and the engine's answer that had them."""

    vectors: NDArray[np.float32]
    answer: Answer


async def feature_vectors(
    engine: Engine, model: Model, rows: Sequence[NDArray[np.uint8]], deadline: Deadline | None
) -> FeatureVectors:
    """The vectors of prepared images, each (1, H, W) or (1, H, W, 3), by a classifier with an embedding.

    Raises:
        QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
        InternalError: a vector is not finite.
    """
    card = model.package.classifier
    inputs = {card.preprocessing.tensor: rows[0] if len(rows) == 1 else np.concatenate(rows)}
    tensor = embedding_of(card).tensor
    answer = await engine.infer(model, None, inputs, [tensor], Options(deadline=deadline))
    vectors: NDArray[np.float32] = answer.outputs[tensor].astype("f4", copy=False)
    if not np.isfinite(vectors).all():
        raise InternalError(f"model {model.name!r} gave an embedding that is not finite")
    return FeatureVectors(vectors, answer)


def embedding_of(card: ClassifyCard) -> Embedding:
    """The embedding of a classifier that `Embed.serves`."""
    assert card.embedding is not None
    return card.embedding
