"""Texts classified as both transports ask for it: with the visit told of the model, and of where the time went."""

from collections.abc import Sequence

from service.surfaces.door import Visit
from service.tasks.text_classification import TextClassification, TextClassificationBatch
from service.tasks.text_classify import TextClassifier


class TextVisits:
    """The classifier of texts, for requests inside the door. Raises as `TextClassifier` does."""

    def __init__(self, classifier: TextClassifier) -> None:
        self._classifier = classifier

    async def one(self, visit: Visit, text: str, model: str, version: str, top_k: int | None) -> TextClassification:
        """The answer for one text."""
        served = self._classifier.model(model, version)
        visit.of(served)
        answer = await self._classifier(served, text, top_k, visit.deadline)
        visit.spent(answer.timing)
        return answer

    async def batch(
        self, visit: Visit, texts: Sequence[str], model: str, version: str, top_k: int | None
    ) -> TextClassificationBatch:
        """The answers for several."""
        served = self._classifier.model(model, version)
        visit.of(served)
        answer = await self._classifier.batch(served, texts, top_k, visit.deadline)
        visit.spent(answer.timing)
        return answer
