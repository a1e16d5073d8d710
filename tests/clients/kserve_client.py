"""KServe's clients at work, in their environment: `kserve_client.py REST GRPC` prints what they were told, as JSON."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, InferResponse, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

IMAGES = np.arange(32, dtype="u1").reshape(2, 4, 4)
AT_ONCE = 8


def request(binary: bool, images: Any = IMAGES, **more: Any) -> InferRequest:
    image = InferInput("image", list(images.shape), "UINT8")
    image.set_data_from_numpy(images, binary_data=binary)
    return InferRequest("tiny", [image], **more)


async def told_of_inferences(infer: Callable[[InferRequest], Awaitable[InferResponse]]) -> dict[str, Any]:
    async def outputs(asked: InferRequest) -> dict[str, Any]:
        return {output.name: output.as_numpy().tolist() for output in (await infer(asked)).outputs}

    async def doubled(binary: bool) -> list[str]:
        texts = InferInput("x", [2], "BYTES")
        texts.set_data_from_numpy(np.array([b"a", "é".encode()], object), binary_data=binary)
        (answer,) = (await infer(InferRequest("doubler", [texts]))).outputs
        return [text.decode() if isinstance(text, bytes) else text for text in answer.as_numpy().tolist()]

    mean = [RequestedOutput("mean", parameters={"binary_data": True})]
    told: dict[str, Any] = {
        "json": await outputs(request(False)),
        "binary": await outputs(request(True, parameters={"binary_data_output": True})),
        "one output": await outputs(request(True, request_outputs=mean, parameters={"content_type": "np"})),
        "texts": [await doubled(binary) for binary in (False, True)],
        "at once": await asyncio.gather(*(outputs(request(i % 2 == 0, IMAGES + i)) for i in range(AT_ONCE))),
    }
    try:
        await infer(request(True, IMAGES[:, :3]))
    except httpx.HTTPStatusError as error:
        told["refused"] = str(error)
    except grpc.RpcError as error:
        told["refused"] = error.details()
    return told


async def over_rest(url: str) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=30)) as client:
        return {
            "ready": [await client.is_server_live(url), await client.is_server_ready(url)],
            "models": {name: await client.is_model_ready(url, name) for name in ("tiny", "nope")},
            **await told_of_inferences(lambda asked: client.infer(url, asked, model_name=asked.model_name)),
        }


async def over_grpc(url: str) -> dict[str, Any]:
    async with InferenceGRPCClient(url, timeout=30) as client:
        return {
            "ready": [await client.is_server_live(), await client.is_server_ready()],
            "models": {name: await client.is_model_ready(name) for name in ("tiny", "nope")},
            **await told_of_inferences(client.infer),
        }


async def main(rest: str, address: str) -> None:
    print(json.dumps({"rest": await over_rest(rest), "grpc": await over_grpc(address)}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
