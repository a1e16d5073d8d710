"""The schemas of the OpenAPI document, made from the models of requests and answers."""

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from service.surfaces.http.asking import fields_of
from service.tasks.task import Ask

REFS = "#/components/schemas/{model}"

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, except that no field of an answer is optional, because none is ever left out."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # it repeats the name, and code generators take it for a type's name

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if self.mode == "serialization" or found.get("default") is None:
            found.pop("default", None)
        return found

    def json_schema(self, schema: Any) -> JsonSchemaValue:
        content = self.generate_inner(schema["schema"])
        return {"type": "string", "contentMediaType": "application/json", "contentSchema": content}

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        # With a pattern for the names, generated code would have no type for the values.
        (values,) = found.pop("patternProperties", {None: None}).values()
        return found if values is None else {**found, "additionalProperties": values}


def schemas_of(written: Iterable[tuple[str, TypeAdapter[Any]]]) -> dict[str, Schema]:
    """The schemas of these answers by their names, and of all models that they refer to."""
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (name, "serialization", adapter) for name, adapter in written
    ]
    schemas, defined = TypeAdapter.json_schemas(inputs, ref_template=REFS, schema_generator=_Generator)
    named = {name: schema for (name, _), schema in schemas.items() if schema != reference(name)}
    return {**defined.get("$defs", {}), **named}


def takes_files(ask: type[Ask]) -> bool:
    """Whether one of its fields is a file or a list of files."""
    return any(field.kind == "file" for field in fields_of(ask).values())


def ask_schema(ask: type[Ask], most_items: int) -> Schema:
    """The schema of a request: no other fields, files as bytes, lists of 1 to ``most_items``.

    Optional fields of a form cannot be null, because a form has no null: it would be the text "null".
    """
    form = takes_files(ask)
    schema = ask.model_json_schema(schema_generator=_Generator)
    properties = {name: schema["properties"][name] for name in fields_of(ask)}
    for name, field in properties.items():
        if field.get("type") == "array":
            field |= {"minItems": 1, "maxItems": most_items}
        elif "anyOf" in field and form:
            properties[name] = _without_null(field)
        elif not form and name not in schema.get("required", ()) and "anyOf" not in field:
            field["type"] = [field["type"], "null"]
    return {**schema, "properties": properties, "additionalProperties": False}


def reference(name: str) -> Schema:
    """A reference to the schema of that name."""
    return {"$ref": REFS.format(model=name)}


def _without_null(field: Schema) -> Schema:
    (kind,) = (each for each in field["anyOf"] if each != {"type": "null"})
    return {**kind, **{key: value for key, value in field.items() if key != "anyOf"}}
