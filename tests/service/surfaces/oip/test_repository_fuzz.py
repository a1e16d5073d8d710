"""Whatever the parameters of a load are, they are read or refused."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protos import open_inference_pb2 as pb
from service.config import Config
from service.engine import Override
from service.errors import InvalidArgument
from service.surfaces.oip.repository_config import read_load, read_unload

CONFIG = Config()

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("TYPE_FP32")
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
PARTS = (pb.ModelConfig, pb.ModelInput, pb.ModelVersionPolicy, pb.ModelDynamicBatching, pb.ModelQueuePolicy)
KEYS = [field.name for part in PARTS for field in part.DESCRIPTOR.fields]
MESSAGES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)
MODEL_CONFIG = st.fixed_dictionaries(
    {}, optional={field.name: MESSAGES for field in pb.ModelConfig.DESCRIPTOR.fields} | {"else": ANYTHING}
)
KNOWN = ["config", "file:1/model.onnx", "file:1/../x", "file:", "unload_dependents"]
NAMES = st.sampled_from(KNOWN) | st.text(max_size=9)
VALUES = MODEL_CONFIG.map(json.dumps) | st.text(max_size=20) | st.binary(max_size=20) | SCALARS


def checked(parameters: dict[str, Any]) -> Override | None:
    with suppress(InvalidArgument):
        return read_load(parameters, CONFIG)
    return None


@given(MODEL_CONFIG)
def test_any_configuration_is_read_or_refused(config: dict[str, Any]) -> None:
    found = checked({"config": json.dumps(config)})
    assert found is None or not found.files


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_parameters_are_read_or_refused(parameters: dict[str, Any]) -> None:
    found = checked(parameters)
    if found is not None:
        assert not parameters.keys() & {"file:1/../x", "file:"}
        assert bool(found.files) == ("file:1/model.onnx" in parameters)
    with suppress(InvalidArgument):
        read_unload(parameters)
        assert isinstance(parameters.get("unload_dependents", False), bool)
