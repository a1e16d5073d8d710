"""The OpenAPI document: what it says of every path is what the path takes and answers."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.package import CaptionCard, ClassifyCard, GenerateCard, SegmentCard, TensorCard, TextClassifyCard
from tests.pictures import png
from tests.serving import Server

CARDS = (CaptionCard, ClassifyCard, GenerateCard, SegmentCard, TensorCard, TextClassifyCard)
CLASSES = {card.__name__: card for card in CARDS}
VERBS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.http, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/docs.json").raise_for_status().json())


def resolved(document: dict[str, Any], reference: dict[str, str]) -> dict[str, Any]:
    """The schema it refers to."""
    return dict(document["components"]["schemas"][reference["$ref"].rpartition("/")[2]])


def fields(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema of what the path takes."""
    (media,) = document["paths"][path]["post"]["requestBody"]["content"].values()
    return resolved(document, media["schema"])


def test_the_document_is_structurally_openapi_3_1(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"title", "version"} <= document["info"].keys()
    for path, operations in document["paths"].items():
        assert path.startswith("/")
        assert operations
        assert operations.keys() <= VERBS
        for operation in operations.values():
            _check_operation(path, operation)


def _check_operation(path: str, operation: dict[str, Any]) -> None:
    assert operation["responses"]
    for status, response in operation["responses"].items():
        assert re.fullmatch(r"[1-5]\d\d|default", status)
        assert isinstance(response["description"], str)
    for media in operation.get("requestBody", {"content": {}})["content"].values():
        assert media["schema"]
    named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path" and p["required"]}
    assert named == set(re.findall(r"{(\w+)}", path))


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert references
    for reference in references:
        assert reference.startswith("#/")
        found: Any = document
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]
        assert found


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if "operationId" in operation
    ]
    assert len(ids) == len(set(ids))


def test_the_document_points_to_no_other_host(document: dict[str, Any]) -> None:
    assert "://" not in json.dumps(document)
    assert document["servers"] == [{"url": "."}]


MASK = ("height", "width", "classes", "mask", "overlay", "indices", "rle", "polygons", "instances")
ALONE = {"/v1/segment": ["tile", "overlap"]}  # for one image only
OPTIONS = {
    "embed": ["normalize"],
    "segment": ["output", "opacity", "method", "label", "threshold"],
    "classify": ["top_k", "views", "explain", "explain_label", "layer"],
    "caption": [
        *["strategy", "beam_width", "length_penalty", "n_best", "temperature", "top_k", "top_p", "seed"],
        *["max_words", "prefix", "attention"],
    ],
}


@pytest.mark.parametrize(
    ("path", "image", "answered"),
    [
        ("/v1/classify", "image", {"model", "version", "labels", "explanation", "timing"}),
        ("/v1/classify/batch", "images", {"model", "version", "results", "timing"}),
        ("/v1/caption", "image", {"model", "version", "captions", "seed", "timing"}),
        ("/v1/embed", "image", {"model", "version", "embedding", "timing"}),
        ("/v1/embed/batch", "images", {"model", "version", "results", "timing"}),
        ("/v1/segment", "image", {"model", "version", *MASK, "timing"}),
        ("/v1/segment/batch", "images", {"model", "version", "results", "timing"}),
    ],
)
def test_the_document_describes_the_form_and_the_answer(
    document: dict[str, Any], path: str, image: str, answered: set[str]
) -> None:
    operation = document["paths"][path]["post"]
    assert operation["requestBody"]["content"].keys() == {"multipart/form-data"}
    assert "JSON, with files in base64" in operation["description"]
    form = fields(document, path)
    options = [*OPTIONS[path.split("/")[2]], *ALONE.get(path, [])]
    assert list(form["properties"]) == [image, "model", "version", *options]
    assert form["required"] == [image]
    answer = resolved(document, operation["responses"]["200"]["content"]["application/json"]["schema"])
    assert answer["properties"].keys() == set(answer["required"]) == answered
    assert {"400", "404", "413", "429", "503", "504"} <= operation["responses"].keys()


def test_the_document_describes_searches(document: dict[str, Any]) -> None:
    needed = {"": ["image", "index"], "/add": ["image", "index", "name"], "/remove": ["index", "name"]}
    for verb, fields_of_it in needed.items():
        path = f"/v1/search{verb}"
        assert sorted(fields(document, path)["required"]) == fields_of_it
        kind = "multipart/form-data" if "image" in fields_of_it else "application/json"
        assert document["paths"][path]["post"]["requestBody"]["content"].keys() == {kind}
    responses = document["paths"]["/v1/search/add"]["post"]["responses"]
    assert {"400", "401", "403", "404", "409", "413", "503"} <= responses.keys()
    assert fields(document, "/v1/search")["properties"]["k"]["maximum"] == 1000


@pytest.mark.parametrize(
    ("path", "wanted", "answered"),
    [
        ("/v1/classify-text", "text", {"model", "version", "labels", "timing"}),
        ("/v1/classify-text/batch", "texts", {"model", "version", "results", "timing"}),
    ],
)
def test_the_document_describes_the_json_body_and_the_answer(
    document: dict[str, Any], path: str, wanted: str, answered: set[str]
) -> None:
    operation = document["paths"][path]["post"]
    assert operation["requestBody"]["content"].keys() == {"application/json"}
    body = fields(document, path)
    assert list(body["properties"]) == [wanted, "model", "version", "top_k"]
    assert (body["required"], body["additionalProperties"]) == ([wanted], False)
    assert body["properties"]["top_k"]["anyOf"] == [{"type": "integer", "minimum": 1}, {"type": "null"}]
    answer = resolved(document, operation["responses"]["200"]["content"]["application/json"]["schema"])
    assert answer["properties"].keys() == set(answer["required"]) == answered


def test_what_may_be_null_in_an_answer_is_said_to_be(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    nullable = {
        name: {
            field for field, value in schemas[name]["properties"].items() if {"type": "null"} in value.get("anyOf", ())
        }
        for name in (
            *("Classification", "Explanation", "Evidence", "Captioning", "Word", "Attention", "Label"),
            *("ImageSegmentation", "SegmentClass"),
        )
    }
    assert nullable == {
        "Classification": {"explanation"},
        "Explanation": {"label", "index", "layer"},
        "Evidence": {"map", "strength"},
        "Captioning": {"seed"},
        "Word": {"attention"},
        "Attention": {"png", "shape", "values"},
        "Label": set(),
        "ImageSegmentation": {"mask", "overlay", "indices"},
        "SegmentClass": {"pixels", "share", "confidence"},
    }


def test_files_are_binary_and_as_many_as_may_come(document: dict[str, Any]) -> None:
    image = fields(document, "/v1/classify")["properties"]["image"]
    images = fields(document, "/v1/classify/batch")["properties"]["images"]
    texts = fields(document, "/v1/classify-text/batch")["properties"]["texts"]
    assert (image["type"], image["format"]) == ("string", "binary")
    assert images["items"] == {"type": "string", "format": "binary"}
    assert (images["minItems"], images["maxItems"]) == (texts["minItems"], texts["maxItems"]) == (1, 64)


def test_a_field_of_few_values_lists_them(document: dict[str, Any]) -> None:
    options = fields(document, "/v1/classify")["properties"]
    assert options["views"]["enum"] == ["", "single", "flip", "ten_crop"]
    assert options["explain"]["enum"] == ["", "cam", "deconv"]
    options = fields(document, "/v1/caption/stream")["properties"]
    assert options["strategy"]["enum"] == ["", "greedy", "sample", "beam"]
    assert options["attention"]["enum"] == ["", "none", "values", "png"]


def test_a_yes_or_no_is_a_boolean_with_its_default(document: dict[str, Any]) -> None:
    normalize = fields(document, "/v1/embed")["properties"]["normalize"]
    assert (normalize["type"], normalize["default"]) == ("boolean", False)


# The options that are numbers, and with which other options each is allowed.
RANGED: dict[str, dict[str, dict[str, str]]] = {
    "/v1/classify": {"top_k": {}},
    "/v1/segment": {"opacity": {"output": "overlay"}, "overlap": {"tile": "true"}, "threshold": {"model": "seeing"}},
    "/v1/caption": {
        **{name: {"strategy": "beam"} for name in ("beam_width", "length_penalty", "n_best")},
        **{name: {"strategy": "sample"} for name in ("temperature", "top_k", "top_p", "seed")},
        "max_words": {},
    },
}


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in RANGED.items() for name in names])
def test_a_number_outside_its_documented_range_is_refused(
    client: httpx.Client, document: dict[str, Any], path: str, name: str
) -> None:
    field = fields(document, path)["properties"][name]
    beyond = [field["minimum"] - 1] if "minimum" in field else [field["exclusiveMinimum"]]
    beyond += [field["maximum"] + 1] if "maximum" in field else []
    for value in beyond:
        response = client.post(path, files={"image": png()}, data={name: str(value), **RANGED[path][name]})
        assert response.status_code == 400
        assert name in response.json()["error"]


def test_every_option_that_is_a_number_has_a_documented_range(document: dict[str, Any]) -> None:
    for path, names in RANGED.items():
        numbers = {
            name
            for name, field in fields(document, path)["properties"].items()
            if field["type"] in ("integer", "number")
        }
        assert numbers == names.keys()


def test_the_document_describes_the_whole_card_of_every_task(document: dict[str, Any]) -> None:
    card = document["components"]["schemas"]["Card"]
    tasks = {"caption", "classify", "classify-text", "generate", "segment", "tensor"}
    assert card["discriminator"]["mapping"].keys() == tasks
    for reference in card["oneOf"]:
        described = resolved(document, reference)
        card_fields = CLASSES[described["title"]].model_fields
        assert described["properties"].keys() == set(described["required"]) == card_fields.keys()


def test_the_document_describes_the_events_of_a_stream(document: dict[str, Any]) -> None:
    (content,) = document["paths"]["/v1/caption/stream"]["post"]["responses"]["200"]["content"].items()
    assert content[0] == "text/event-stream"
    assert content[1]["schema"] == {"type": "string"}
    events = [
        resolved(document, event)["properties"] for event in resolved(document, content[1]["x-itemSchema"])["oneOf"]
    ]
    assert {
        event["event"]["const"]: set(resolved(document, event["data"]["contentSchema"])["properties"])
        for event in events
    } == {
        "word": {"word", "log_probability", "attention"},
        "answer": {"model", "version", "captions", "seed", "timing"},
        "error": {"error"},
    }


def test_no_two_schemas_want_the_same_name(document: dict[str, Any]) -> None:
    assert [name for name in document["components"]["schemas"] if "__" in name] == []


def test_the_documented_read_only_paths_answer_as_documented(client: httpx.Client, document: dict[str, Any]) -> None:
    paths = {path: operations["get"] for path, operations in document["paths"].items() if "get" in operations}
    assert paths.keys() == {"/v1/models", "/v1/models/{name}", "/metrics", "/livez", "/readyz"}
    for path, operation in paths.items():
        for kind in operation["responses"]["200"]["content"]:
            response = client.get(path.format(name="tiny"), headers={"accept": kind}).raise_for_status()
            assert response.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize("number", ["1.0", "null"])
def test_a_whole_number_in_json_may_be_written_as_its_schema_allows(client: httpx.Client, number: str) -> None:
    body = f'{{"text": "abc", "top_k": {number}, "model": null, "version": null}}'
    response = client.post("/v1/classify-text", content=body, headers={"content-type": "application/json"})
    assert response.raise_for_status().json()["model"] == "letters"


def test_a_picture_is_a_second_form_of_the_answer_where_there_is_one(document: dict[str, Any]) -> None:
    answered = {
        path: operations["post"]["responses"]["200"]["content"].keys()
        for path, operations in document["paths"].items()
        if "post" in operations
    }
    assert answered["/v1/segment"] == {"application/json", "image/png"}
    assert [path for path, kinds in answered.items() if "image/png" in kinds] == ["/v1/segment", "/v1/generate"]


def test_outlines_are_described_as_geojson_nests_them(document: dict[str, Any]) -> None:
    coordinates = document["components"]["schemas"]["ClassOutline"]["properties"]["coordinates"]
    for _ in range(4):
        assert coordinates["type"] == "array"
        coordinates = coordinates["items"]
    assert coordinates == {"type": "integer"}
