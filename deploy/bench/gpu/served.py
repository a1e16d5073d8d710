"""ResNet-50 in float16 over gRPC, relative to the bare session at the same batch size."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from deploy.bench import load
from deploy.bench.callers import INFER, TIMEOUT_S, channel, infer_on
from deploy.bench.gpu import bare
from deploy.bench.gpu.resnet50 import NAME, resnet50
from deploy.bench.graphs import FILE
from deploy.bench.plan import Plan
from deploy.bench.server import Server
from deploy.bench.subject import Array, WrongAnswer
from deploy.bench.table import Row, at_least, median_row
from protos import open_inference_pb2 as pb
from service.engine.device import Device
from service.package import read_package

FOLDER = Path("build/bench/gpu-zoo")
BATCH, CONNECTIONS = 32, 4
TOLERANCE = 0.05  # as a share of the largest logit


def rows(plan: Plan, device: Device, repository: Path = FOLDER, batch: int = BATCH) -> Iterator[Row]:
    """The images per second of requests of a whole batch each, in percent of bare runs before and after."""
    folder = resnet50(repository)
    shape = read_package(folder).card.program.inputs[0].shape[1:]
    images = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype="u1")
    session = bare.session(folder / FILE, device)
    wanted = session.run(["logits"], {"image": images})[0]

    def bare_per_s() -> float:
        return batch * bare.per_s(lambda: session.run(["logits"], {"image": images}), plan.block_s)

    bares, serveds = [bare_per_s()], []
    for _ in range(plan.rounds):
        with Server(repository, device=device.kind) as server:
            _check(server, images, wanted)
            post = load.grpc(server.ports["grpc"], INFER, _request(images).SerializeToString())
            serveds.append(batch * load.h2load(post, CONNECTIONS, plan.block_s).per_s)
            outcomes = server.outcomes(NAME, "oip_grpc")
        if set(outcomes) - {"OK", "CANCELLED"}:
            raise WrongAnswer(f"the server counts {dict(outcomes)}")
        bares.append(bare_per_s())
    around = [(before + after) / 2 for before, after in pairwise(bares)]
    shares = [100 * served / most for served, most in zip(serveds, around, strict=True)]
    yield median_row(f"ResNet-50 float16, bare session, batch {batch}, {device}", bares, "images/s")
    yield median_row(f"ResNet-50 float16 over gRPC, batch {batch}, of the bare session", shares, "%", at_least(80))


def _request(images: Array) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=images.shape)
    return pb.ModelInferRequest(model_name=NAME, inputs=[tensor], raw_input_contents=[images.tobytes()])


def _check(server: Server, images: Array, wanted: Array) -> None:
    """Check that the server gives the bare session's answer.

    Raises:
        WrongAnswer: it does not.
    """
    with channel(server.ports["grpc"]) as opened:
        answer = infer_on(opened)(_request(images), timeout=TIMEOUT_S)
    found = np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(wanted.shape)
    difference = np.abs(found - wanted).max() / np.abs(wanted).max()
    if not difference <= TOLERANCE:
        raise WrongAnswer(f"logits differ by {difference:.3g} of the largest; at most {TOLERANCE} is allowed")
