"""The task endpoints, as a BentoML service: its OpenAPI page, its clients, its form parsing."""

import logging
import os
from typing import Any, ClassVar, cast, get_type_hints

# Read when the library is imported: nothing here calls out.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import bentoml
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from service.config import Config
from service.engine import Engine
from service.errors import LectoriumError
from service.surfaces.browser_headers import BrowserHeaders
from service.surfaces.caption_events import NAMES
from service.surfaces.caption_form import CaptionForm
from service.surfaces.caption_visit import CaptionVisits
from service.surfaces.classify_form import ClassifyBatchForm, ClassifyForm
from service.surfaces.classify_visit import ClassifyVisits
from service.surfaces.disconnect import ASGIApp
from service.surfaces.door import Door, Visit
from service.surfaces.event_response import EventResponse
from service.surfaces.openapi import Task, document
from service.surfaces.pages import ERROR_HANDLERS, Pages
from service.surfaces.task_door import Refusal, TaskDoor
from service.surfaces.task_form import FilesForm
from service.surfaces.text_form import ClassifyTextBatchForm, ClassifyTextForm
from service.surfaces.text_visit import TextVisits
from service.tasks.captioning import Captioning, CaptionOptions
from service.tasks.classification import Classification, ClassificationBatch, ClassifyOptions
from service.tasks.tasks import Tasks
from service.tasks.text_classification import TextClassification, TextClassificationBatch


@bentoml.service(
    name="lectorium",
    # Ours instead: BentoML's would label every path a stranger invents.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class TaskService:
    """Lectorium's task endpoints."""

    classifier: ClassVar[ClassifyVisits]
    captioner: ClassVar[CaptionVisits]
    texts: ClassVar[TextVisits]
    door: ClassVar[Door]

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/v1/classify", input_spec=ClassifyForm
    )
    async def classify(
        self, image: bytes, model: str, version: str, ctx: bentoml.Context, **options: Any
    ) -> Classification:
        """The most probable labels of one image, with the model that gave them and where the time went."""
        visit: Visit = ctx.request.state.visit
        try:
            return await self.classifier.one(visit, image, model, version, ClassifyOptions(**options))
        except LectoriumError as error:
            raise Refusal(error) from error

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/v1/classify/batch", input_spec=ClassifyBatchForm
    )
    async def classify_batch(
        self, images: list[bytes], model: str, version: str, ctx: bentoml.Context, **options: Any
    ) -> ClassificationBatch:
        """The most probable labels of each of several images; one that is refused refuses them all."""
        visit: Visit = ctx.request.state.visit
        try:
            return await self.classifier.batch(visit, images, model, version, ClassifyOptions(**options))
        except LectoriumError as error:
            raise Refusal(error) from error

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/v1/caption", input_spec=CaptionForm
    )
    async def caption(self, image: bytes, model: str, version: str, ctx: bentoml.Context, **options: Any) -> Captioning:
        """Sentences about one image, the best first, with each word's log-probability."""
        visit: Visit = ctx.request.state.visit
        try:
            return await self.captioner.whole(visit, image, model, version, CaptionOptions(**options))
        except LectoriumError as error:
            raise Refusal(error) from error

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/v1/caption/stream", input_spec=CaptionForm, output_spec=Captioning
    )
    async def caption_stream(
        self, image: bytes, model: str, version: str, ctx: bentoml.Context, **options: Any
    ) -> EventResponse:
        """The same as server-sent events: each word as it is chosen, then the whole answer."""
        state = ctx.request.state
        words = self.captioner.words(state.visit, image, model, version, CaptionOptions(**options))
        return EventResponse(state.events, words, NAMES)

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/v1/classify-text", input_spec=ClassifyTextForm
    )
    async def classify_text(
        self, text: str, model: str, version: str, top_k: int | None, ctx: bentoml.Context
    ) -> TextClassification:
        """The most probable labels of one text, such as its language, with the model that gave them."""
        visit: Visit = ctx.request.state.visit
        try:
            return await self.texts.one(visit, text, model, version, top_k)
        except LectoriumError as error:
            raise Refusal(error) from error

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/v1/classify-text/batch", input_spec=ClassifyTextBatchForm
    )
    async def classify_text_batch(
        self, texts: list[str], model: str, version: str, top_k: int | None, ctx: bentoml.Context
    ) -> TextClassificationBatch:
        """The most probable labels of each of several texts; one that is refused refuses them all."""
        visit: Visit = ctx.request.state.visit
        try:
            return await self.texts.batch(visit, texts, model, version, top_k)
        except LectoriumError as error:
            raise Refusal(error) from error

    async def __is_ready__(self) -> bool:
        if reason := self.door.why_not_ready:
            raise HTTPException(503, reason)
        return True


def task_app(engine: Engine, tasks: Tasks, door: Door, config: Config, metrics: ASGIApp) -> ASGIApp:
    """The ASGI app of port 3000: the task service, with the read-only pages beside it."""
    logging.getLogger("bentoml").setLevel(logging.WARNING)
    # It warns of each form that it cannot read, and whoever sends one is told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    service: Any = TaskService
    service.inner.classifier = ClassifyVisits(tasks.classifier)
    service.inner.captioner = CaptionVisits(tasks.captioner)
    service.inner.texts = TextVisits(tasks.text_classifier)
    ClassifyBatchForm.max_files = config.max_images
    service.inner.door = door
    service.add_asgi_middleware(TaskDoor, door=door, config=config)
    description = document([_described(api) for api in service.apis.values()], config.max_images)
    service.mount_asgi_app(Pages(engine, description, metrics).app(), path="/")
    app: Starlette = service.to_asgi()
    # The engine has deadlines; BentoML's own leaves a timer running a minute after every request.
    app.user_middleware = [m for m in app.user_middleware if m.cls is not cast(Any, TimeoutMiddleware)]
    app.exception_handlers.update(ERROR_HANDLERS)
    return BrowserHeaders(app)


def _described(api: Any) -> Task:
    """What the OpenAPI document says of one of BentoML's methods."""
    form, answer = api.input_spec, get_type_hints(api.func)["return"]
    return Task(
        path=api.route,
        name=api.name,
        form=form,
        multipart=issubclass(form, FilesForm),
        answer=answer if issubclass(answer, BaseModel) else None,
        summary=api.doc,
    )
