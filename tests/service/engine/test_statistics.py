"""Counting what a model has done."""

import pytest

from service.engine.statistics import Duration, FirstResponses, Statistics


def test_a_duration_adds_up_in_nanoseconds() -> None:
    duration = Duration()
    duration.add(0.5)
    duration.add(0.25, times=2)
    assert (duration.count, duration.ns) == (3, 1_000_000_000)


def test_a_batch_counts_once_by_its_rows_and_once_for_each_of_its_requests() -> None:
    statistics = Statistics()
    statistics.ran(rows=8, requests=3, input_s=1e-3, infer_s=2e-3, output_s=3e-3)
    assert (statistics.inference_count, statistics.execution_count) == (8, 1)
    assert statistics.stages.compute_infer == Duration(3, 6_000_000)
    assert statistics.batches[8].compute_infer == Duration(1, 2_000_000)
    assert statistics.batches[8].compute_output == Duration(1, 3_000_000)


def test_batches_of_other_rows_are_kept_apart() -> None:
    statistics = Statistics()
    for rows in (1, 4, 4):
        statistics.ran(rows, 1, 0, 0, 0)
    assert {rows: stages.compute_input.count for rows, stages in statistics.batches.items()} == {1: 1, 4: 2}


def test_nothing_has_run_before_the_first() -> None:
    assert Statistics().last_inference == 0


def test_first_responses_are_counted_by_bounds_that_include_their_own_value() -> None:
    found = FirstResponses()
    for seconds in (0.0, 0.1, 0.101, 0.5, 2.0, 5.0, 5.1, 60.0):
        found.add(seconds)
    assert found.counts == [2, 2, 1, 1, 2]
    assert found.ms == pytest.approx(72_801)
