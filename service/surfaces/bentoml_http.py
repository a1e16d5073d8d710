"""The task endpoints, as a BentoML service: its OpenAPI page, its clients, its form parsing."""

import logging
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

# Read when the library is imported: nothing here calls out.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import bentoml
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from bentoml.validators import ContentType
from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request

from service.config import Config
from service.engine import Engine
from service.errors import LectoriumError
from service.surfaces.disconnect import ASGIApp
from service.surfaces.door import Door, Visit
from service.surfaces.form import Form
from service.surfaces.pages import ERROR_HANDLERS, Pages
from service.surfaces.task_door import Refusal, TaskDoor
from service.tasks.classify import Classification, Classifier


class ClassifyForm(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's types are not exported
    """The fields of the form."""

    image: Annotated[Path, ContentType("image/*")] = Field(description="An image file, any size and colour mode.")
    model: str = Field("", description="Model name; empty: the server's default.")
    version: str = Field("", description="Model version; empty: the highest.")
    top_k: int | None = Field(None, description="How many labels; empty: the card's default.")

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "ClassifyForm":
        """Read the form ourselves: BentoML would pass over an unknown field, and write the image to the disk.

        Raises:
            Refusal: an InvalidArgument that names the field, what came and what was wanted.
        """
        try:
            form = await Form.read(request, set(cls.model_fields))
            fields = {
                "image": await form.file("image"),
                "model": form.text("model"),
                "version": form.text("version"),
                "top_k": form.whole_number("top_k"),
            }
        except LectoriumError as error:
            raise Refusal(error) from error
        constructed: ClassifyForm = cls.model_construct(**fields)
        return constructed


@bentoml.service(
    name="lectorium",
    # Ours instead: BentoML's would label every path a stranger invents.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class TaskService:
    """Lectorium's task endpoints."""

    classifier: ClassVar[Classifier]
    door: ClassVar[Door]

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/v1/classify", input_spec=ClassifyForm
    )
    async def classify(
        self, image: bytes, model: str, version: str, top_k: int | None, ctx: bentoml.Context
    ) -> Classification:
        """The most probable labels of one image, with the model that gave them and where the time went."""
        visit: Visit = ctx.request.state.visit
        try:
            served = self.classifier.model(model, version)
            visit.of(served)
            answer = await self.classifier(image, served.name, served.version, top_k)
        except LectoriumError as error:
            raise Refusal(error) from error
        timing = answer.timing
        visit.timed(timing.queue_ms / 1e3, timing.compute_ms / 1e3, timing.decode_ms / 1e3)
        return answer

    async def __is_ready__(self) -> bool:
        return self.door.ready


def task_app(engine: Engine, classifier: Classifier, door: Door, config: Config, metrics: ASGIApp) -> ASGIApp:
    """The ASGI app of port 3000: the task service, with the read-only pages beside it."""
    logging.getLogger("bentoml").setLevel(logging.WARNING)
    service: Any = TaskService
    service.inner.classifier = classifier
    service.inner.door = door
    service.add_asgi_middleware(TaskDoor, door=door, config=config)
    service.mount_asgi_app(Pages(engine, service.openapi_spec.asdict(), metrics).app(), path="/")
    app: Starlette = service.to_asgi()
    # The engine has deadlines; BentoML's own leaves a timer running a minute after every request.
    app.user_middleware = [m for m in app.user_middleware if m.cls is not cast(Any, TimeoutMiddleware)]
    app.exception_handlers.update(ERROR_HANDLERS)
    return app
