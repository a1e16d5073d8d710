"""The forms of the classification endpoints."""

from typing import ClassVar

import bentoml
from pydantic import Field

from service.package import VIEWS
from service.surfaces.form import Form
from service.surfaces.task_form import FilesForm, ImageFile, ImageForm

_VIEWS = "What the answer is averaged over; empty: the card's default."
_EXPLAIN = "Show what the network looked at: a class activation map, or what drives a layer; empty: nothing."


class _OptionsForm(FilesForm):
    whole_numbers: ClassVar[frozenset[str]] = frozenset({"top_k"})

    top_k: int | None = Field(None, ge=1, description="How many labels; empty: the card's default.")
    views: str = Field("", description=_VIEWS, json_schema_extra={"enum": ["", *VIEWS]})
    explain: str = Field("", description=_EXPLAIN, json_schema_extra={"enum": ["", "cam", "deconv"]})
    explain_label: str = Field("", description="cam: the label, or its index, to explain; empty: the most probable.")
    layer: str = Field("", description="deconv: the layer to explain; empty: the card's last.")


class _ImagesForm(bentoml.IODescriptor):  # type: ignore[misc]
    images: list[ImageFile] = Field(description="Image files, each of any size and colour mode.")

    @classmethod
    async def read_images(cls, form: Form) -> dict[str, list[bytes]]:
        return {"images": await form.files("images")}


class ClassifyForm(_OptionsForm, ImageForm):
    """The fields of `/v1/classify`."""


class ClassifyBatchForm(_OptionsForm, _ImagesForm):
    """The fields of `/v1/classify/batch`."""
