"""What schemathesis is told beside the document."""

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection

# What a form's field may be sent as, of each type, where it is left open: BentoML's client sends null, which is a text
# too in a form, and Swagger UI an empty text.
_LEFT_OPEN = {"integer": (None, "", "null"), "number": (None, "", "null"), "string": (None,)}
_LEFT_OPEN["boolean"] = (None, "", "null")


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Read the document's word for the events of a stream as OpenAPI 3.2's, which 3.1 has none for."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for media in operation["responses"]["200"]["content"].values():
                if "x-itemSchema" in media:
                    del media["schema"]
                    media["itemSchema"] = media.pop("x-itemSchema")


@schemathesis.check  # type: ignore[untyped-decorator]
def wrong_data_is_refused(context: Any, response: Any, case: Any) -> bool | None:
    """`negative_data_rejection`, but for fields that a form leaves open: no schema says so, and no client should."""
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        fields = case.operation.schema.raw_schema["components"]["schemas"][_form(case)]["properties"]
        for name, value in case.body.items():
            sent = value if isinstance(value, list) else [value]
            if all(each in _LEFT_OPEN.get(fields.get(name, {}).get("type"), ()) for each in sent):
                return None
    answer: bool | None = negative_data_rejection(context, response, case)
    return answer


def _form(case: Any) -> str:
    """The name of the form's schema."""
    body = case.operation.definition.raw["requestBody"]["content"]["multipart/form-data"]
    return str(body["schema"]["$ref"].rpartition("/")[2])
