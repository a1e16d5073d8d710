"""A plain app of a dozen lines: Starlette reads the form, Pillow decodes, ONNX Runtime runs."""

import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deploy.bench.rivals.classifier import Classifier
from deploy.bench.server import HOST


def app(classifier: Classifier) -> Starlette:
    """The application."""

    async def classify(request: Request) -> JSONResponse:
        form = await request.form()
        image = form["image"]
        assert isinstance(image, UploadFile)
        pixels = classifier.pixels(await image.read())
        return JSONResponse(classifier.answer(classifier.run(pixels[None])[0]))

    return Starlette(routes=[Route("/v1/classify", classify, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(
        app(Classifier(Path(sys.argv[2]))),
        host=HOST,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
