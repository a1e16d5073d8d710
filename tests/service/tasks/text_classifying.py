"""A classifier of texts to test, with its engine, and what it must answer."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from service.config import Config
from service.engine import Engine
from service.tasks.caller import ANY_CALLER, Caller
from service.tasks.classification import Label
from service.tasks.classify_text import ClassifyText
from service.tasks.image_decoding import ImageDecoder
from tests.packages import assert_close
from tests.service.tasks.asking import answer
from tests.text_packages import LABELS, text_probabilities


@asynccontextmanager
async def serving(repository: Path, **settings: Any) -> AsyncIterator[tuple["TextClassifying", Engine]]:
    """A classifier of texts and its engine."""
    config = Config.model_validate({"repository": repository, "lanes": 1, "intra_op": 1, **settings})
    async with Engine(config) as engine:
        yield TextClassifying(ClassifyText(engine, config, ImageDecoder(config))), engine


class TextClassifying:
    """Asks a classifier of texts as surfaces do: of one text, or of several."""

    def __init__(self, task: ClassifyText) -> None:
        self._one, self._batch = task.endpoints

    async def __call__(
        self,
        text: str,
        model: str = "letters",
        version: str = "",
        top_k: int | None = None,
        caller: Caller = ANY_CALLER,
    ) -> Any:
        """The answer of one."""
        return await answer(self._one, caller, text=text, model=model, version=version, top_k=top_k)

    async def batch(
        self,
        texts: Sequence[str],
        model: str = "letters",
        version: str = "",
        top_k: int | None = None,
        caller: Caller = ANY_CALLER,
    ) -> Any:
        """The answer of several."""
        return await answer(self._batch, caller, texts=texts, model=model, version=version, top_k=top_k)


def check(labels: Sequence[Label], text: str, version: int = 1) -> None:
    """They are the most probable ones of the text, in order."""
    wanted = text_probabilities(text, version)
    order = np.argsort(-wanted)[: len(labels)]
    assert [label.index for label in labels] == order.tolist()
    assert [label.label for label in labels] == [LABELS[i] for i in order]
    assert_close(np.array([label.probability for label in labels], "f4"), wanted[order])
