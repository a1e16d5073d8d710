"""Clients that generators write from the OpenAPI document call every operation of port 3000."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.environment import HERE, binary, run
from tests.pictures import png
from tests.serving import Server


@pytest.fixture(scope="module")
def document(every_task: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "docs.json"
    path.write_bytes(httpx.get(every_task.http + "/docs.json").raise_for_status().content)
    return path


def attrs_client(document: Path) -> None:
    """openapi-python-client."""
    generator = binary("openapi", "openapi-python-client")
    options: list[str | Path] = [
        "--meta",
        "none",
        "--output-path",
        document.with_name("attrs_client"),
        "--fail-on-warning",
    ]
    # It formats what it wrote with ruff, which it looks for in the PATH.
    run([generator, "generate", "--path", document, *options], PATH=str(generator.parent))


def pydantic_client(document: Path) -> None:
    """openapi-generator."""
    only = "models,apis,supportingFiles,modelDocs=false,apiDocs=false,modelTests=false,apiTests=false"
    options: list[str | Path] = [
        "--package-name",
        "pydantic_client",
        "--output",
        document.parent,
        "--global-property",
        only,
    ]
    generator = binary("openapi", "openapi-generator-cli")
    run([generator, "generate", "--input-spec", document, "--generator-name", "python", *options], timeout_s=300)


GENERATORS: dict[str, Any] = {"by_attrs": attrs_client, "by_pydantic": pydantic_client}


@pytest.mark.parametrize("program", GENERATORS)
def test_a_generated_client_calls_every_operation(
    every_task: Server, document: Path, tmp_path: Path, program: str
) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(png())
    GENERATORS[program](document)
    command: list[str | Path] = [binary("openapi"), HERE / "programs" / f"{program}.py", every_task.http, image]
    called = json.loads(run(command, PYTHONPATH=str(document.parent)))
    assert set(called) == {
        operation["operationId"]
        for operations in json.loads(document.read_bytes())["paths"].values()
        for operation in operations.values()
    }
