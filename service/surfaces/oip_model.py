"""What the Open Inference Protocol says of a model: metadata, configuration, statistics.

Each is one message in its JSON form, which REST sends as it is and gRPC reads into its message.
"""

from typing import Any

from service.config import Config
from service.engine import Model
from service.engine.statistics import Duration, Stages
from service.package import TensorSpec

PLATFORM = "onnx_onnxv1"
BACKEND = "onnxruntime"


def metadata(model: Model, versions: list[str]) -> dict[str, Any]:
    """ModelMetadataResponse: shapes with the batch first, -1 for any size."""
    return {
        "name": model.name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in model.card.graph.inputs],
        "outputs": [_tensor(spec) for spec in model.card.graph.outputs],
    }


def configuration(model: Model, config: Config) -> dict[str, Any]:
    """ModelConfig: dims without the batch."""
    card = model.card
    labels = {card.classes.tensor: card.classes.labels}
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"all": {}},
        "max_batch_size": card.graph.max_batch,
        "input": [_dims(spec) for spec in card.graph.inputs],
        "output": [{**_dims(spec), "label_filename": labels.get(spec.name, "")} for spec in card.graph.outputs],
        "dynamic_batching": {
            "max_queue_delay_microseconds": 0,
            "default_queue_policy": {
                "default_timeout_microseconds": int(config.timeout_s * 1e6),
                "max_queue_size": config.max_queue_rows,
            },
        },
        "default_model_filename": card.graph.file,
        "model_transaction_policy": {"decoupled": False},
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


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _dims(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": list(spec.shape[1:])}


def _stages(stages: Stages) -> dict[str, Any]:
    return {
        "compute_input": _duration(stages.compute_input),
        "compute_infer": _duration(stages.compute_infer),
        "compute_output": _duration(stages.compute_output),
    }


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}
