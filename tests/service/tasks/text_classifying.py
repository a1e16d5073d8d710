"""A classifier of texts to test, with its engine, and what it must answer."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from service.config import Config
from service.engine import Engine
from service.tasks.classification import Label
from service.tasks.text_classify import TextClassifier
from tests.packages import assert_close
from tests.text_packages import LABELS, text_probabilities


@asynccontextmanager
async def serving(repository: Path, **settings: Any) -> AsyncIterator[tuple[TextClassifier, Engine]]:
    """A classifier of texts and its engine."""
    config = Config.model_validate({"repository": repository, "lanes": 1, "intra_op": 1, **settings})
    async with Engine(config) as engine:
        yield TextClassifier(engine, config), engine


def check(labels: Sequence[Label], text: str, version: int = 1) -> None:
    """They are the most probable ones of the text, in order."""
    wanted = text_probabilities(text, version)
    order = np.argsort(-wanted)[: len(labels)]
    assert [label.index for label in labels] == order.tolist()
    assert [label.label for label in labels] == [LABELS[i] for i in order]
    assert_close(np.array([label.probability for label in labels], "f4"), wanted[order])
