"""Every row of the table of generative networks: register one, and it is tested."""

import json
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.generation.rows import VARIANTS, build, find
from models.registry import ROWS
from models.variant import Variant

EVERY = list(VARIANTS.values())
each = pytest.mark.parametrize("variant", EVERY, ids=lambda variant: variant.name)


@each
def test_parameters_and_multiply_accumulates_are_those_in_the_table(variant: Variant) -> None:
    counter = FlopCounterMode(display=False)
    with torch.device("meta"):
        model: Any = build(variant.name).eval()
        with counter:
            model(**model.examples(1))
    assert sum(p.numel() for p in model.parameters()) == variant.parameters
    assert counter.get_total_flops() == 2 * variant.macs


@each
def test_a_row_gives_finite_answers_for_any_number_of_rows(variant: Variant) -> None:
    torch.manual_seed(0)
    model: Any = build(variant.name).eval()
    for rows in (1, 3):
        with torch.no_grad():
            answer = model(**model.examples(rows))
        for tensor in answer if isinstance(answer, tuple) else (answer,):
            assert len(tensor) == rows
            assert tensor.isfinite().all()


@each
def test_a_config_that_has_been_through_json_builds_the_same(variant: Variant) -> None:
    with torch.device("meta"):
        built, again = build(variant.name), build(variant.name, json.loads(json.dumps(variant.config)))
    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in again.state_dict().items()}


def test_every_row_is_in_the_registry_under_a_name_that_a_package_may_have() -> None:
    assert all(ROWS[name] is variant for name, variant in VARIANTS.items())
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in VARIANTS)


def test_what_is_unknown_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="no model 'boltzmann-machine'; there are pca, ppca, "):
        find("boltzmann-machine")
    with pytest.raises(KeyError, match="model 'pca' has no 'depth'; it has components, shape"):
        build("pca", {"depth": 3})
