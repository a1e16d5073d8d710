"""Classification as both transports ask for it: with the visit told of the model, and of where the time went."""

from collections.abc import Sequence

from service.surfaces.door import Visit
from service.tasks.classification import Classification, ClassificationBatch, ClassifyOptions
from service.tasks.classify import Classifier


class ClassifyVisits:
    """The classifier, for requests inside the door. Raises as `Classifier` does."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    async def one(
        self, visit: Visit, image: bytes, model: str, version: str, options: ClassifyOptions
    ) -> Classification:
        """The answer for one image."""
        served = self._classifier.model(model, version)
        visit.of(served)
        answer = await self._classifier(image, served.name, served.version, options, visit.asker)
        visit.spent(answer.timing)
        return answer

    async def batch(
        self, visit: Visit, images: Sequence[bytes], model: str, version: str, options: ClassifyOptions
    ) -> ClassificationBatch:
        """The answers for several."""
        served = self._classifier.model(model, version)
        visit.of(served)
        answer = await self._classifier.batch(images, served.name, served.version, options, visit.asker)
        visit.spent(answer.timing)
        return answer
