"""What the Open Inference Protocol says of a model: its configuration and its statistics, REST and gRPC alike."""

import time
from contextlib import closing

import pytest

from protos import open_inference_pb2 as pb
from tests.packages import MAX_BATCH, example
from tests.service.surfaces.conftest import StartServer
from tests.service.surfaces.transports import Grpc, Refused, Rest, tensor


def statistics(oip: Rest | Grpc, version: str = "1") -> pb.ModelStatistics:
    (found,) = oip.statistics("tiny", version)
    return found


def test_configuration_has_the_tensors_without_the_batch(oip: Rest | Grpc) -> None:
    found = oip.model_config("tiny")
    assert (found.name, found.platform, found.backend) == ("tiny", "onnx_onnxv1", "onnxruntime")
    assert found.max_batch_size == MAX_BATCH
    assert [(i.name, i.data_type, list(i.dims)) for i in found.input] == [("image", pb.TYPE_UINT8, [4, 4])]
    assert [(o.name, o.data_type, list(o.dims), o.label_filename) for o in found.output] == [
        ("probabilities", pb.TYPE_FP32, [3], "labels.txt"),
        ("mean", pb.TYPE_FP32, [], ""),
    ]


def test_configuration_says_how_requests_wait(oip: Rest | Grpc) -> None:
    found = oip.model_config("tiny")
    assert found.WhichOneof("scheduling_choice") == "dynamic_batching"
    batching = found.dynamic_batching
    assert batching.max_queue_delay_microseconds == 0
    assert (batching.priority_levels, batching.default_priority_level) == (1, 1)
    queue = batching.default_queue_policy
    assert (queue.max_queue_size, queue.default_timeout_microseconds) == (100_000, 0)
    assert (queue.timeout_action, queue.allow_timeout_override) == (pb.ModelQueuePolicy.REJECT, True)
    assert found.version_policy.WhichOneof("policy_choice") == "all"
    assert not found.model_transaction_policy.decoupled


def test_every_configuration_agrees_with_the_metadata(oip: Rest | Grpc) -> None:
    for name in ("tiny", "slow", "echo"):
        configured, described = oip.model_config(name), oip.model_metadata(name)
        assert [[-1, *i.dims] for i in configured.input] == [t["shape"] for t in described["inputs"]]
        assert [pb.DataType.Name(i.data_type) for i in configured.input] == [
            f"TYPE_{t['datatype']}" for t in described["inputs"]
        ]


@pytest.mark.parametrize("rows", [1, 3, 2 * MAX_BATCH + 1])
def test_a_request_is_counted_in_rows_batches_and_time(oip: Rest | Grpc, rows: int) -> None:
    before, since = statistics(oip), time.time()
    oip.infer("tiny", [tensor(example(rows))], version="1")
    after = statistics(oip)
    batches = -(-rows // MAX_BATCH)
    assert after.inference_count - before.inference_count == rows
    assert after.execution_count - before.execution_count == batches
    assert int(since * 1000) <= after.last_inference <= time.time() * 1000
    for name, times in {"success": 1, "queue": 1, "compute_input": batches, "compute_infer": batches}.items():
        was, now = getattr(before.inference_stats, name), getattr(after.inference_stats, name)
        assert (now.count - was.count, now.ns > was.ns) == (times, True), name


def test_batches_are_counted_by_their_rows(oip: Rest | Grpc) -> None:
    def runs(rows: int) -> int:
        found = {batch.batch_size: batch for batch in statistics(oip).batch_stats}
        assert list(found) == sorted(found)
        return found[rows].compute_infer.count if rows in found else 0

    before = runs(5), runs(MAX_BATCH)
    oip.infer("tiny", [tensor(example(5 + MAX_BATCH))], version="1")
    assert (runs(5), runs(MAX_BATCH)) == (before[0] + 1, before[1] + 1)


def test_a_refused_argument_is_not_counted_at_all(oip: Rest | Grpc) -> None:
    before = statistics(oip)
    with pytest.raises(Refused):
        oip.infer("tiny", [tensor(example(1)[:, :3])], version="1")
    assert statistics(oip) == before


def test_a_request_that_runs_out_of_time_has_failed(start: StartServer) -> None:
    server = start(timeout_s=0.05)
    with closing(Rest(server)) as rest:
        with pytest.raises(Refused):
            rest.infer("slow", [tensor(example(100 * MAX_BATCH))])
        (found,) = rest.statistics("slow")
    assert (found.inference_stats.fail.count, found.inference_stats.success.count) == (1, 0)
    assert found.inference_stats.fail.ns > 40_000_000


def test_statistics_are_of_one_version_or_all_or_every_model(oip: Rest | Grpc) -> None:
    assert [(s.name, s.version) for s in oip.statistics("tiny", "1")] == [("tiny", "1")]
    assert [(s.name, s.version) for s in oip.statistics("tiny")] == [("tiny", "1"), ("tiny", "2")]
    models = {"tiny", "slow", "seeing", "captioner", "colours", "greys", "letters", "vectors", "echo", "half"}
    assert {s.name for s in oip.statistics()} == models


def test_both_transports_give_the_same_statistics(rest: Rest, oip_grpc: Grpc) -> None:
    assert statistics(rest) == statistics(oip_grpc)
    assert rest.model_config("tiny") == oip_grpc.model_config("tiny")
