"""What the Open Inference Protocol says of a model: metadata, configuration, statistics.

Each is one message in its JSON form, which REST sends as it is and gRPC reads into its message.
"""

from typing import Any

from service.config import Config
from service.engine import Model
from service.engine.device import Device
from service.engine.statistics import Duration, Stages
from service.package import Loop, TensorSpec
from service.package.serving import DynamicBatching, VersionPolicy

PLATFORM = "onnx_onnxv1"
BACKEND = "onnxruntime"
# Where ModelConfig has another name for a datatype.
_DATA_TYPES = {"BYTES": "TYPE_STRING"}


def metadata(model: Model, versions: list[str]) -> dict[str, Any]:
    """ModelMetadataResponse: shapes with the batch first, -1 for any size."""
    return {
        "name": model.name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in model.program.inputs],
        "outputs": [_tensor(spec) for spec in model.program.outputs],
    }


def configuration(model: Model, policy: VersionPolicy, config: Config) -> dict[str, Any]:
    """ModelConfig: dims without the batch, if there is one; ``policy`` selected the model's versions.

    ``max_batch_size`` is 0 where requests share no runs: the graph has no batch, or was seen not to keep rows apart.
    """
    card, program = model.card, model.program
    batched = model.max_batch > 0
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": policy.model_dump(exclude_none=True),
        "max_batch_size": model.max_batch,
        "input": [_dims(spec, batched) for spec in program.inputs],
        "output": [
            {**_dims(spec, batched), "label_filename": card.label_files.get(spec.name, "")} for spec in program.outputs
        ],
        "dynamic_batching": _batching(card.serving.dynamic_batching, config),
        "instance_group": [_instances(model.session.device)],
        "default_model_filename": program.files[-1],
        "model_transaction_policy": {"decoupled": isinstance(program, Loop) and bool(program.emit)},
    }


def statistics(model: Model) -> dict[str, Any]:
    """ModelStatistics since the model was loaded; durations in nanoseconds."""
    found = model.statistics
    requests = {"success": found.success, "fail": found.fail, "queue": found.queue}
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": found.last_inference,
        "inference_count": found.inference_count,
        "execution_count": found.execution_count,
        "inference_stats": {**{key: _duration(value) for key, value in requests.items()}, **_stages(found.stages)},
        "batch_stats": [{"batch_size": rows, **_stages(stages)} for rows, stages in sorted(found.batches.items())],
    }


def _instances(device: Device) -> dict[str, Any]:
    """Where the model runs: one instance, which all lanes share."""
    if device.kind == "cuda":
        return {"kind": "KIND_GPU", "count": 1, "gpus": [device.number]}
    return {"kind": "KIND_CPU", "count": 1}


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _dims(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    return {
        "name": spec.name,
        "data_type": _DATA_TYPES.get(spec.datatype, f"TYPE_{spec.datatype}"),
        "dims": list(spec.shape[batched:]),
    }


def _batching(batching: DynamicBatching, config: Config) -> dict[str, Any]:
    policy = batching.default_queue_policy
    return {
        "max_queue_delay_microseconds": 0,
        "priority_levels": batching.priority_levels,
        "default_priority_level": batching.default_priority_level,
        "default_queue_policy": {
            "timeout_action": "DELAY" if policy.timeout_action == "continue" else "REJECT",
            "default_timeout_microseconds": policy.default_timeout_microseconds,
            "allow_timeout_override": policy.allow_timeout_override,
            "max_queue_size": policy.max_queue_size or config.max_queue_rows,
        },
    }


def _stages(stages: Stages) -> dict[str, Any]:
    return {
        "compute_input": _duration(stages.compute_input),
        "compute_infer": _duration(stages.compute_infer),
        "compute_output": _duration(stages.compute_output),
    }


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}
