"""KServe's own clients, run in their environment: what they were told is what the model answers."""

import json
from typing import Any

import numpy as np
import pytest

from tests.clients.environment import HERE, binary, run
from tests.packages import assert_close, expected
from tests.serving import Server

IMAGES = np.arange(32, dtype="u1").reshape(2, 4, 4)


@pytest.fixture(scope="module")
def told(server: Server) -> dict[str, Any]:
    """What InferenceRESTClient and InferenceGRPCClient were told, by transport."""
    printed = run([binary("kserve"), HERE / "kserve_client.py", server.rest, server.grpc])
    return dict(json.loads(printed.splitlines()[-1]))


@pytest.fixture(params=["rest", "grpc"])
def client(request: pytest.FixtureRequest, told: dict[str, Any]) -> dict[str, Any]:
    return dict(told[request.param])


def check(outputs: dict[str, Any], images: Any = IMAGES) -> None:
    assert_close(np.array(outputs["probabilities"]), expected(images, 2))
    assert_close(np.array(outputs["mean"]), images.mean((1, 2), dtype="f4"))


def test_the_server_and_its_models_are_ready_and_others_are_not(client: dict[str, Any]) -> None:
    assert client["ready"] == [True, True]
    assert client["models"] == {"tiny": True, "nope": False}


@pytest.mark.parametrize("form", ["json", "binary"])
def test_an_inference_is_answered_in_both_forms(client: dict[str, Any], form: str) -> None:
    check(client[form])


def test_only_the_output_asked_for_comes(client: dict[str, Any]) -> None:
    assert client["one output"].keys() == {"mean"}


def test_texts_are_sent_and_answered_in_both_forms(client: dict[str, Any]) -> None:
    assert client["texts"] == [["aa", "éé"]] * 2


def test_requests_at_once_each_get_their_own_answer(client: dict[str, Any]) -> None:
    for i, outputs in enumerate(client["at once"]):
        check(outputs, IMAGES + np.uint8(i))


def test_a_refusal_says_what_came_and_what_was_wanted(client: dict[str, Any]) -> None:
    assert "is [2, 3, 4]; model 'tiny' allows [-1, 4, 4]" in client["refused"]
