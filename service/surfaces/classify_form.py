"""The forms of the classification endpoints."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

import bentoml
from bentoml.validators import ContentType
from pydantic import Field
from starlette.requests import Request

from service.errors import LectoriumError
from service.package import VIEWS
from service.surfaces.form import Form
from service.surfaces.task_door import Refusal

ImageFile = Annotated[Path, ContentType("image/*")]
_VIEWS = "What the answer is averaged over; empty: the card's default."
_EXPLAIN = "Show what the network looked at: a class activation map, or what drives a layer; empty: nothing."
_TEXTS = ("model", "version", "views", "explain", "explain_label", "layer")


class _OptionsForm(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's types are not exported
    max_files: ClassVar[int] = 1

    model: str = Field("", description="Model name; empty: the server's default.")
    version: str = Field("", description="Model version; empty: the highest.")
    top_k: int | None = Field(None, description="How many labels; empty: the card's default.")
    views: str = Field("", description=_VIEWS, json_schema_extra={"enum": ["", *VIEWS]})
    explain: str = Field("", description=_EXPLAIN, json_schema_extra={"enum": ["", "cam", "deconv"]})
    explain_label: str = Field("", description="cam: the label, or its index, to explain; empty: the most probable.")
    layer: str = Field("", description="deconv: the layer to explain; empty: the card's last.")

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "_OptionsForm":
        """Read the form ourselves: BentoML would pass over an unknown field, and write images to the disk.

        Raises:
            Refusal: an InvalidArgument that names the field, what came and what was wanted.
        """
        try:
            form = await Form.read(request, set(cls.model_fields), cls.max_files)
            fields: dict[str, Any] = await cls._read_images(form)
            fields |= {name: form.text(name) for name in _TEXTS} | {"top_k": form.whole_number("top_k")}
        except LectoriumError as error:
            raise Refusal(error) from error
        constructed: _OptionsForm = cls.model_construct(**fields)
        return constructed


class _ImageForm(bentoml.IODescriptor):  # type: ignore[misc]
    image: ImageFile = Field(description="An image file, any size and colour mode.")

    @classmethod
    async def _read_images(cls, form: Form) -> dict[str, bytes]:
        return {"image": await form.file("image")}


class _ImagesForm(bentoml.IODescriptor):  # type: ignore[misc]
    images: list[ImageFile] = Field(description="Image files, each of any size and colour mode.")

    @classmethod
    async def _read_images(cls, form: Form) -> dict[str, list[bytes]]:
        return {"images": await form.files("images")}


# A base's fields come before those of the bases named before it, and the image is the first of all.
class ClassifyForm(_OptionsForm, _ImageForm):
    """The fields of `/v1/classify`."""


class ClassifyBatchForm(_OptionsForm, _ImagesForm):
    """The fields of `/v1/classify/batch`."""
