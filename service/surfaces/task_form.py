"""What the forms of all tasks have in common: the model, and how they are read; of most, an image."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

import bentoml
from bentoml.validators import ContentType
from pydantic import Field
from starlette.requests import Request

from service.errors import InvalidArgument, LectoriumError
from service.surfaces.form import Form
from service.surfaces.task_door import Refusal

ImageFile = Annotated[Path, ContentType("image/*")]


class TaskForm(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's types are not exported
    """Which model is asked."""

    model: str = Field("", description="Model name; empty: the server's default.")
    version: str = Field("", description="Model version; empty: the highest.")

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "TaskForm":
        """Read the form ourselves: BentoML would pass over an unknown field, and write images to the disk.

        Raises:
            Refusal: an InvalidArgument that names the field, what came and what was wanted.
        """
        try:
            _check_query(request, cls)
            constructed: TaskForm = cls.model_construct(**await cls.read_fields(request))
        except LectoriumError as error:
            raise Refusal(error) from error
        return constructed


class FilesForm(TaskForm):
    """A multipart form. Its options beside the files are each a text, but for those named here."""

    max_files: ClassVar[int] = 1
    whole_numbers: ClassVar[frozenset[str]] = frozenset()
    numbers: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    async def read_fields(cls, request: Request) -> dict[str, Any]:
        """Every field of the form.

        Raises:
            InvalidArgument: as `Form`.
        """
        form = await Form.read(request, set(cls.model_fields), cls.max_files)
        fields: dict[str, Any] = await cls.read_images(form)
        return fields | {name: cls._option(form, name) for name in cls.model_fields if name not in fields}

    @classmethod
    def _option(cls, form: Form, name: str) -> str | int | float | None:
        if name in cls.whole_numbers:
            return form.whole_number(name)
        return form.number(name) if name in cls.numbers else form.text(name)


# A base's fields come before those of the bases named before it: name this one last, and the image is the first of all.
class ImageForm(bentoml.IODescriptor):  # type: ignore[misc]
    """A form's one image."""

    image: ImageFile = Field(description="An image file, any size and colour mode.")

    @classmethod
    async def read_images(cls, form: Form) -> dict[str, bytes]:
        """The file's content, by the field's name."""
        return {"image": await form.file("image")}


def _check_query(request: Request, form: type[TaskForm]) -> None:
    """Refuse options in the URL, where nobody reads them."""
    if request.query_params:
        name = next(iter(request.query_params))
        raise InvalidArgument(
            f"query parameter {name[:80]!r} came; options are fields of the body: {sorted(form.model_fields)}"
        )
