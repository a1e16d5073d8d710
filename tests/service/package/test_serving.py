import re
from typing import Any

import pytest
from pydantic import ValidationError

from service.package import Serving
from service.package.serving import VersionPolicy

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown_key": ({"colour": 1}, "colour"),
    "priority_zero": ({"priority": 0}, "priority"),
    "priority_too_large": ({"priority": 65}, "priority"),
    "no_levels": ({"dynamic_batching": {"priority_levels": 0}}, "priority_levels"),
    "too_many_levels": ({"dynamic_batching": {"priority_levels": 65}}, "priority_levels"),
    "default_is_no_level": (
        {"dynamic_batching": {"priority_levels": 2, "default_priority_level": 3}},
        "default_priority_level is 3; priority_levels is 2",
    ),
    "default_of_none": (
        {"dynamic_batching": {"default_priority_level": 2}},
        "default_priority_level is 2; priority_levels is 1",
    ),
    "negative_queue": ({"dynamic_batching": {"default_queue_policy": {"max_queue_size": -1}}}, "max_queue_size"),
    "negative_timeout": (
        {"dynamic_batching": {"default_queue_policy": {"default_timeout_microseconds": -1}}},
        "default_timeout_microseconds",
    ),
    "unknown_action": (
        {"dynamic_batching": {"default_queue_policy": {"timeout_action": "wait"}}},
        "'reject' or 'continue'",
    ),
    "no_policy": ({"version_policy": {}}, "exactly one of 'latest', 'specific' and 'all' is required"),
    "two_policies": (
        {"version_policy": {"latest": {}, "all": {}}},
        "exactly one of 'latest', 'specific' and 'all' is required",
    ),
    "no_versions": ({"version_policy": {"specific": {"versions": []}}}, "versions"),
    "version_zero": ({"version_policy": {"specific": {"versions": [0]}}}, "versions"),
    "latest_zero": ({"version_policy": {"latest": {"num_versions": 0}}}, "num_versions"),
}


@pytest.mark.parametrize(("said", "naming"), WRONG.values(), ids=list(WRONG))
def test_what_may_not_be_said_of_serving_is_refused_by_its_key(said: dict[str, Any], naming: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(naming)):
        Serving.model_validate(said)


def test_everything_has_a_default() -> None:
    serving = Serving()
    policy = serving.dynamic_batching.default_queue_policy
    assert (serving.version_policy, serving.priority, serving.dynamic_batching.priority_levels) == (None, 1, 1)
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (0, 0)
    assert (policy.allow_timeout_override, policy.timeout_action) == (True, "reject")


def test_what_is_said_of_serving_survives_the_way_through_json() -> None:
    policy = {"max_queue_size": 3, "default_timeout_microseconds": 5, "timeout_action": "continue"}
    batching = {"priority_levels": 3, "default_priority_level": 2, "default_queue_policy": policy}
    serving = Serving.model_validate(
        {"version_policy": {"specific": {"versions": [2, 4]}}, "priority": 5, "dynamic_batching": batching}
    )
    assert Serving.model_validate_json(serving.model_dump_json()) == serving


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ({"latest": {}}, [10]),
        ({"latest": {"num_versions": 2}}, [3, 10]),
        ({"latest": {"num_versions": 9}}, [1, 3, 10]),
        ({"specific": {"versions": [10, 1, 7]}}, [1, 10]),
        ({"specific": {"versions": [7]}}, []),
        ({"all": {}}, [1, 3, 10]),
    ],
)
def test_the_version_policy_chooses_in_ascending_order(policy: dict[str, Any], chosen: list[int]) -> None:
    assert VersionPolicy.model_validate(policy).choose([10, 1, 3]) == chosen


@pytest.mark.parametrize("text", ["all", "latest:1", "latest:12", "specific:3", "specific:1,30"])
def test_a_policy_in_words_says_the_same_as_the_policy(text: str) -> None:
    assert str(VersionPolicy.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "All", "all:", "latest", "latest:", "latest:0", "latest:-1", "specific:", "specific:1,", "1", "newest:1"],
)
def test_words_that_are_no_policy_are_refused_with_those_wanted(text: str) -> None:
    with pytest.raises(
        ValueError, match=f"the version policy is '{text}'; allowed are all, latest:<number> and specific:"
    ):
        VersionPolicy.parse(text)
