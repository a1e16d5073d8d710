from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.embedding_packages import write_embedding_package
from tests.explaining_packages import write_explaining_package
from tests.generate_packages import write_generate_package
from tests.needs import needs
from tests.packages import example, write_package
from tests.pictures import png
from tests.search_indexes import indexes_of, write_index
from tests.segment_packages import write_segment_package
from tests.service.surfaces.echo import ECHO, write_echo
from tests.service.surfaces.image_transports import Http, HttpBatch, ImageTransport, Vision, VisionBatch, VisionStream
from tests.service.surfaces.ticks import FLOOD, write_ticks
from tests.service.surfaces.transports import Grpc, Rest, TensorTransport, tensor
from tests.service.surfaces.words import write_words
from tests.service.tasks.captioning import write_endless
from tests.serving import SLOW_WORK, Server, write_zoo
from tests.step_packages import write_captioner, write_chars, write_diffusion
from tests.text_packages import write_text_package

SERVED = "captioner, colours, echo, greys, half, letters, seeing, slow, tiny, vectors"  # of `zoo`
StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny` in two versions, `slow`, `seeing`, which explains itself, `vectors`, and others of `SERVED`."""
    folder = write_zoo(tmp_path_factory.mktemp("zoo"))
    write_explaining_package(folder)
    write_captioner(folder)
    write_text_package(folder)
    write_embedding_package(folder)
    write_segment_package(folder)
    write_generate_package(folder)
    write_echo(folder, "echo", ECHO)
    write_echo(folder, "half", ["FP16"])
    write_index(indexes_of(folder), folder)
    return folder


@pytest.fixture(scope="session")
@needs("server")
def server(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server most tests share; it ends well, whatever they sent it."""
    # Room beside the requests of many rows that keep the slow model occupied.
    indexes = {"indexes": indexes_of(zoo), "index_writes": True}
    with Server(zoo, tmp_path_factory.mktemp("server") / "home", max_queue_rows=100_000, **indexes) as server:
        yield server


@pytest.fixture(scope="session")
def loop_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of `tiny`, `slow` and loops: `chars`, `words` like it, `diffusion`, `ticks`, `flood`, `endless`."""
    folder = tmp_path_factory.mktemp("loop_zoo")
    write_package(folder, "tiny", 1)
    write_package(folder, "slow", 1, work=SLOW_WORK)
    write_chars(folder)
    write_words(folder)
    write_diffusion(folder)
    write_ticks(folder, "ticks", size=512, work=4)
    write_ticks(folder, "flood", size=FLOOD)
    write_endless(folder)
    return folder


@pytest.fixture(scope="session")
@needs("server")
def loops(loop_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of `loop_zoo` that the tests of streams share."""
    with Server(loop_zoo, tmp_path_factory.mktemp("loops") / "home", max_queue_rows=100_000) as server:
        yield server


@pytest.fixture
@needs("server")
def start(zoo: Path, tmp_path: Path) -> Iterator[StartServer]:
    """Starts a server of the test's own."""
    with ExitStack() as stack:

        def start(**settings: object) -> Server:
            return stack.enter_context(Server(zoo, tmp_path / "home", **settings))

        yield start


TENSOR_TRANSPORTS: dict[str, Callable[[Server], TensorTransport]] = {
    "rest_json": lambda server: Rest(server, binary=False),
    "rest_binary": lambda server: Rest(server, binary=True),
    "grpc_raw": lambda server: Grpc(server, raw=True),
    "grpc_contents": lambda server: Grpc(server, raw=False),
}
IMAGE_TRANSPORTS: dict[str, Callable[[Server], ImageTransport]] = {
    "http": Http,
    "vision_grpc": Vision,
    "vision_stream": VisionStream,
    "http_batch": HttpBatch,
    "vision_batch": VisionBatch,
}


@pytest.fixture(scope="session", params=TENSOR_TRANSPORTS)
def tensors(request: pytest.FixtureRequest, server: Server) -> Iterator[TensorTransport]:
    """Each way to ask for tensors in turn."""
    with closing(TENSOR_TRANSPORTS[request.param](server)) as transport:
        yield transport


@pytest.fixture(scope="session", params=IMAGE_TRANSPORTS)
def images(request: pytest.FixtureRequest, server: Server) -> Iterator[ImageTransport]:
    """Each way to have an image classified in turn."""
    with closing(IMAGE_TRANSPORTS[request.param](server)) as transport:
        yield transport


@pytest.fixture(scope="session")
def rest(server: Server) -> Iterator[Rest]:
    """The Open Inference Protocol over REST."""
    with closing(Rest(server)) as transport:
        yield transport


@pytest.fixture(scope="session")
def oip_grpc(server: Server) -> Iterator[Grpc]:
    """The Open Inference Protocol over gRPC."""
    with closing(Grpc(server)) as transport:
        yield transport


@pytest.fixture(scope="session", params=["rest", "oip_grpc"])
@needs("server")
def oip(request: pytest.FixtureRequest) -> Rest | Grpc:
    """Both forms of the Open Inference Protocol in turn."""
    transport: Rest | Grpc = request.getfixturevalue(request.param)
    return transport


def ask(server: Server, way: str, model: str = "tiny") -> str:
    """One small request, the given way; the name of the model that answered."""
    if way in IMAGE_TRANSPORTS:
        with closing(IMAGE_TRANSPORTS[way](server)) as images:
            return str(images.classify(png(), model=model)["model"])
    with closing(TENSOR_TRANSPORTS[way](server)) as tensors:
        return tensors.infer(model, [tensor(example(1))]).model
