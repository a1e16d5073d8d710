"""The task endpoints, as a BentoML service: its OpenAPI page, its clients, its form parsing."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

# Read when the library is imported: nothing here calls out.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import bentoml
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from bentoml.validators import ContentType
from pydantic import Field
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.config import Config
from service.engine import Engine
from service.errors import InvalidArgument, LectoriumError
from service.surfaces.body import read_body
from service.surfaces.disconnect import ASGIApp, CallerWatch, Message, Receive, Scope, Send
from service.surfaces.door import Door, Visit
from service.surfaces.http_error import ANSWERED, error_answer
from service.surfaces.pages import ERROR_HANDLERS, Pages
from service.tasks.classify import Classification, Classifier

SURFACE = "http"
TASKS = frozenset({"/v1/classify"})


class Refusal(BaseException):
    """Carries an error past BentoML, which would hide the message of some statuses and wrap that of others."""

    def __init__(self, error: LectoriumError) -> None:
        super().__init__(str(error))
        self.error = error


class ClassifyForm(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's types are not exported
    """The fields of the form."""

    image: Annotated[Path, ContentType("image/*")] = Field(description="An image file, any size and colour mode.")
    model: str = Field("", description="Model name; empty: the server's default.")
    version: str = Field("", description="Model version; empty: the highest.")
    top_k: int | None = Field(None, description="How many labels; empty: the card's default.")

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "ClassifyForm":
        """Read the form ourselves: an unknown field is an error, and the image never touches the disk.

        Raises:
            Refusal: an InvalidArgument that names the field, what came and what was wanted.
        """
        async with _form(request, set(cls.model_fields)) as fields:
            image = fields.get("image")
            if not isinstance(image, UploadFile):
                raise InvalidArgument(f"form field 'image' wants a file, {'text' if image else 'nothing'} came")
            form: ClassifyForm = cls.model_construct(
                image=await image.read(),
                model=_text(fields, "model"),
                version=_text(fields, "version"),
                top_k=_whole_number(fields, "top_k"),
            )
            return form


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


class TaskDoor:
    """Middleware: task requests pass the door with their body read, within bounds, and their caller watched."""

    def __init__(self, app: ASGIApp, door: Door, config: Config) -> None:
        self._app = app
        self._door = door
        self._limits = (config.max_request_bytes, config.timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] not in TASKS or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            with self._door.visit(SURFACE) as visit:
                await self._handle(scope, receive, send, visit)
        except ANSWERED as error:
            status, headers, answer = error_answer(error)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": answer})

    async def _handle(self, scope: Scope, receive: Receive, send: Send, visit: Visit) -> None:
        body = await read_body(scope, receive, *self._limits)
        scope.setdefault("state", {})["visit"] = visit
        try:
            with CallerWatch(receive):
                await self._app(scope, _Replay(body, receive), send)
        except Refusal as refusal:
            raise refusal.error from None


class _Replay:
    """The ASGI receive of a request whose body has been read."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        message = {"type": "http.request", "body": self._body, "more_body": False}
        self._body = None
        return message


def task_app(engine: Engine, classifier: Classifier, door: Door, config: Config) -> ASGIApp:
    """The ASGI app of port 3000: the task service, with the read-only pages beside it."""
    logging.getLogger("bentoml").setLevel(logging.WARNING)
    service: Any = TaskService
    service.inner.classifier = classifier
    service.inner.door = door
    service.add_asgi_middleware(TaskDoor, door=door, config=config)
    service.mount_asgi_app(Pages(engine, service.openapi_spec.asdict()).app(), path="/")
    app: Starlette = service.to_asgi()
    # The engine has deadlines; BentoML's own leaves a timer running a minute after every request.
    app.user_middleware = [m for m in app.user_middleware if m.cls is not cast(Any, TimeoutMiddleware)]
    app.exception_handlers.update(ERROR_HANDLERS)
    return app


@asynccontextmanager
async def _form(request: Request, known: set[str]) -> AsyncIterator[dict[str, Any]]:
    """The fields of a multipart form, every name known and none twice; closed at the end."""
    try:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            raise InvalidArgument(f"a multipart/form-data body is wanted, {kind[:80] or 'no content type'} came")
        async with request.form(max_files=1, max_fields=len(known)) as form:
            fields = dict(form)
            if unknown := sorted(set(fields) - known):
                raise InvalidArgument(f"unknown form field {unknown[0][:80]!r}; known are {sorted(known)}")
            for name in fields:
                if len(form.getlist(name)) > 1:
                    raise InvalidArgument(f"form field {name!r} came {len(form.getlist(name))} times, once is wanted")
            yield fields
    except HTTPException as error:
        raise Refusal(InvalidArgument(f"the form cannot be read: {error.detail}")) from error
    except LectoriumError as error:
        raise Refusal(error) from error


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InvalidArgument(f"form field {name!r} wants text, a file came")
    # BentoML's own client sends "lenet5" in quotes and null for None, as JSON; no name we serve has a quote.
    return "" if value == "null" else value.strip('"')


def _whole_number(fields: dict[str, Any], name: str) -> int | None:
    value = _text(fields, name)
    if value and not (value.isascii() and value.isdigit() and len(value) < 10):
        raise InvalidArgument(f"form field {name!r} wants a whole number, {value[:40]!r} came")
    return int(value) if value else None
