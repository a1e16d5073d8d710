"""Segmentation: gives every pixel of an image a class (I2DL X.8; Long et al. 2015)."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from types import MappingProxyType

import numpy as np
from pydantic import BaseModel

from service.engine import Answer, Model, Options
from service.package import Card, ClassifyCard, SegmentCard
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.fitted_image import FittedImage
from service.tasks.image_decoding import numbered
from service.tasks.located import LocatedForms
from service.tasks.made_types import answer_of, batch_answer_of, batch_ask_of
from service.tasks.mask_checks import check_answer
from service.tasks.mask_forms import MaskForms
from service.tasks.mask_model import MaskModel
from service.tasks.segment_options import PICTURE, SegmentOptions
from service.tasks.segment_tiles import SegmentTiles, TiledResult
from service.tasks.segmentation import SegmentAsk, Segmented, SegmentTile
from service.tasks.task import BatchTask, Endpoint

TILES = MappingProxyType({"tile": SegmentTile})


class Segment(BatchTask[SegmentAsk, Segmented]):
    """Segments images with any served segmenter, or by the class activation maps of a classifier that has them."""

    name = "segment"
    does = "segment images"
    summary = "The class of every pixel of one image: a mask of the image's size, and what each class has of it."
    card = SegmentCard
    ask = SegmentAsk
    answer = answer_of("ImageSegmentation", Segmented)
    picture = PICTURE
    large = True
    many = "image"
    result = Segmented
    batch_summary = "The class of every pixel of several images; if one is refused, all are."
    batch_ask = batch_ask_of(SegmentAsk, many, alone=("tile", "overlap"))
    batch_answer = batch_answer_of("ImageSegmentationBatch", Segmented)

    @classmethod
    def serves(cls, card: Card) -> bool:
        """Whether it is the card of a segmenter, or of a classifier with class activation maps."""
        return isinstance(card, SegmentCard) or (isinstance(card, ClassifyCard) and card.explain.cam is not None)

    @classmethod
    def serves_unnamed(cls, card: Card) -> bool:
        """Whether it is the card of a segmenter: a classifier must be named."""
        return isinstance(card, SegmentCard)

    async def results(
        self, model: Model, ask: SegmentAsk, items: Sequence[bytes], caller: Caller, *, batch: bool
    ) -> tuple[list[Segmented], Timing]:
        """The result for each image, and how long the stages took.

        Raises:
            InvalidArgument: the model does not allow an option; or a batch has no image or too many; or a mask is too
                much of a noise for the requested output.
            TooLarge: what is requested of images of these sizes would be too large, or an image has too many tiles.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `ImageDecoder`.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
            InternalError: a confidence is not finite, or the graph does not answer with what its card says.
        """
        options, preprocessing = SegmentOptions.of(model, ask), MaskModel.of(model).preprocessing
        if options.overlap is not None:
            tiled = await self._whole(model, options, items[0], caller)
            return [tiled.result], tiled.timing
        make = partial(FittedImage.of, preprocessing=preprocessing)
        began = time.perf_counter()
        if batch:
            images = await self.decode.several(items, make, caller=caller)
        else:
            images = [await self.decode.one(items[0], make, preprocessing, caller=caller)]
        decode_s = time.perf_counter() - began
        options.check_size([image.pixels for image in images])
        forms: MaskForms | LocatedForms
        if options.locate is None:
            forms = MaskForms(MaskModel.of(model), options, len(items), self.config.max_image_pixels)
        else:
            forms = LocatedForms(model, options, options.locate, len(items), self.config.max_image_pixels)
        answer = await self._ask(model, images, forms.outputs_needed(images), caller)
        work = [
            partial(forms.result, data, image, {name: tensor[i] for name, tensor in answer.outputs.items()})
            for i, (data, image) in enumerate(zip(items, images, strict=True))
        ]
        if batch:
            work = [partial(numbered, i, each) for i, each in enumerate(work)]
        results = await self.decode.each(work, caller=caller)
        timing = Timing(queue_ms=answer.queue_s * 1e3, decode_ms=decode_s * 1e3, compute_ms=answer.compute_s * 1e3)
        return results, timing

    async def tile_answers(self, model: Model, ask: SegmentAsk, caller: Caller) -> AsyncGenerator[BaseModel]:
        """The mask of each tile of the image as soon as it is known, then the whole answer. Raises as `results`."""
        options = SegmentOptions.of(model, ask.model_copy(update={"tile": True}))
        async with aclosing(self._tiles.results(model, options, ask.image, caller, each=True)) as found:
            async for each in found:
                if isinstance(each, SegmentTile):
                    yield each
                else:
                    result = vars(each.result)
                    yield self.answer(model=model.name, version=model.version, **result, timing=each.timing)

    @cached_property
    def endpoints(self) -> Sequence[Endpoint]:
        """The ways to request the task; one answers tile by tile."""
        one, *others = super().endpoints
        tiles = one._replace(
            path=f"{one.path}/stream",
            name=f"{one.name}_tiles",
            summary="The same, tile by tile at the image's own resolution, as server-sent events, and then all of it.",
            events=TILES,
            answers=self.tile_answers,
            once=None,
            picture=None,
        )
        return [one, *others, tiles]

    @cached_property
    def _tiles(self) -> SegmentTiles:
        return SegmentTiles(self.engine, self.config, self.decode)

    async def _whole(self, model: Model, options: SegmentOptions, data: bytes, caller: Caller) -> TiledResult:
        async with aclosing(self._tiles.results(model, options, data, caller, each=False)) as found:
            async for each in found:
                if isinstance(each, TiledResult):
                    return each
        raise AssertionError("the last one is the result")

    async def _ask(self, model: Model, images: list[FittedImage], outputs: list[str], caller: Caller) -> Answer:
        rows = images[0].rows if len(images) == 1 else np.concatenate([image.rows for image in images])
        inputs = {MaskModel.of(model).preprocessing.tensor: rows}
        answer = await self.engine.infer(model, None, inputs, outputs, Options(deadline=caller.deadline))
        if isinstance(model.card, SegmentCard):
            check_answer(MaskModel.of(model), rows, answer.outputs)
        return answer
