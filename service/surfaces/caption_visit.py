"""Captioning as both transports ask for it: with the visit told of the model, and of where the time went."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from service.surfaces.door import Visit
from service.tasks.caption import Captioner
from service.tasks.captioning import Captioning, CaptionOptions, Word


class CaptionVisits:
    """The captioner, for requests inside the door. Raises as `Captioner` does."""

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner

    async def words(
        self, visit: Visit, image: bytes, model: str, version: str, options: CaptionOptions
    ) -> AsyncGenerator[Word | Captioning]:
        """The words of the best caption as they come, then the whole answer; wrap it in `contextlib.aclosing`."""
        served = self._captioner.model(model, version)
        visit.of(served)
        async with aclosing(self._captioner.words(served, image, options, visit.asker)) as found:
            async for each in found:
                if isinstance(each, Word):
                    visit.emitted()
                else:
                    visit.spent(each.timing)
                yield each

    async def whole(self, visit: Visit, image: bytes, model: str, version: str, options: CaptionOptions) -> Captioning:
        """The answer."""
        async with aclosing(self.words(visit, image, model, version, options)) as found:
            async for each in found:
                if isinstance(each, Captioning):
                    return each
        raise AssertionError("the last one is the answer")
