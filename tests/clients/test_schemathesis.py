"""Schemathesis finds no request that is answered otherwise than the OpenAPI document says."""

from pathlib import Path

import pytest

from tests.clients.environment import HERE, binary, run
from tests.serving import Server

PROGRAMS = HERE / "programs"


def test_the_document_agrees_with_the_answers(
    every_task: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # it leaves its finds where it is called
    config: list[str | Path] = ["--config-file", PROGRAMS / "schemathesis.toml"]
    # In the place of the one that is left out is `wrong_data_is_refused`, which calls it.
    checks = ["--checks", "all", "--exclude-checks", "negative_data_rejection", "--warnings", "off"]
    bounded = ["--seed", "1", "--max-examples", "5"]
    run(
        [binary("openapi", "schemathesis"), *config, "run", every_task.http + "/docs.json", *checks, *bounded],
        timeout_s=300,
        SCHEMATHESIS_HOOKS="document_checks",
        PYTHONPATH=str(PROGRAMS),
    )
