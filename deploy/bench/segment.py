"""Segmentation: images per second over tensors and through ``/v1/segment``, relative to the bare session.

Each shipped segmenter is measured with images of its own size and of twice its sides. Tensors of the double size are
segmented at it. A file of the double size is brought to the model's, and its mask back: its bare session has the
model's size.
"""

import io
import statistics
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from deploy.bench import bare, load
from deploy.bench.callers import post as connection
from deploy.bench.lenet import ZOO
from deploy.bench.load import Load, Post
from deploy.bench.picture_file import encoded, noise
from deploy.bench.plan import Plan
from deploy.bench.server import Server
from deploy.bench.subject import Subject, WrongAnswer
from deploy.bench.table import Row, Target, at_least, median_row
from deploy.bench.throughput import GRPC, check, throughput
from service.imaging import examine
from service.package import SegmentCard, read_package
from service.tasks.fitted_image import FittedImage

WANTED = ("mask", "area", "confidence")  # what /v1/segment asks the graph for, too
MAX_PIXELS = 1 << 22
CONNECTIONS = (1, 8)
PATH = "/v1/segment"
TARGETS = {GRPC.title: at_least(90), PATH: at_least(75)}


class Sized(NamedTuple):
    """A model and an image file of some size; ``tensors`` are rows of that size, ``model`` of the model's own."""

    title: str
    tensors: Subject
    model: Subject
    file: bytes

    def post(self, port: int) -> Post:
        """The file as it is, for the mask as a picture."""
        headers = {"Content-Type": "image/jpeg", "Accept": "image/png"}
        return Post(port, f"{PATH}?model={self.model.name}", self.file, headers)


def rows(plan: Plan) -> Iterator[Row]:
    """For each segmenter and size: the images per second over gRPC and HTTP, in percent of the bare session's."""
    for name in sorted(folder.name for folder in ZOO.iterdir()):
        card = read_package(max((ZOO / name).iterdir(), key=lambda folder: int(folder.name))).card
        if isinstance(card, SegmentCard) and card.provenance.weights != "int8":
            own = (card.preprocessing.height, card.preprocessing.width)
            for times in (1, 2):
                yield from sized_rows(sized(name, card, own, times), plan)


def sized(name: str, card: SegmentCard, own: tuple[int, int], times: int) -> Sized:
    """The model with images whose sides are ``times`` its ``own``."""
    height, width = own[0] * times, own[1] * times
    return Sized(
        f"{card.title}, {width}x{height}",
        Subject(ZOO, name, wanted=WANTED, size=(height, width)),
        Subject(ZOO, name, wanted=WANTED, size=own),
        encoded(noise(height, width), "JPEG"),
    )


def sized_rows(subject: Sized, plan: Plan) -> Iterator[Row]:
    """The rows of one model and size; the bare session runs before and after each load."""
    ways = {
        GRPC.title: (subject.tensors, bare.best_way(subject.tensors, plan.slow_s / 4)),
        PATH: (subject.model, bare.best_way(subject.model, plan.slow_s / 4)),
    }
    shares: dict[tuple[str, int], list[tuple[Load, float]]] = {}
    for _ in range(plan.rounds):
        with Server(ZOO) as server:
            check_mask(subject, server)
            for title, (model, way) in ways.items():
                for connections in CONNECTIONS:
                    before = bare.rows_per_s(model, way, plan.slow_s / 2)
                    seen = measure(server, subject, title, connections, plan.slow_s)
                    after = bare.rows_per_s(model, way, plan.slow_s / 2)
                    shares.setdefault((title, connections), []).append((seen, (before + after) / 2))
    for (title, connections), found in shares.items():
        what = f"{subject.title}, {title}, {connections} connection{'s' * (connections > 1)}, of the bare session"
        yield share(what, found, TARGETS[title] if connections > 1 else None)


def measure(server: Server, subject: Sized, title: str, connections: int, seconds: int) -> Load:
    """Load on one surface.

    Raises:
        WrongAnswer: an answer was wrong, or the server itself counts other outcomes than OK.
    """
    if title != PATH:
        return throughput(server, subject.tensors, GRPC, connections, seconds)
    before = server.outcomes(subject.model.name, "http")
    # Requests are so slow that those that are open when the load ends are a notable share; wrk does not count them.
    generate = partial(load.h2load, protocol="http/1.1")
    seen = generate(subject.post(server.ports["http"]), connections, seconds)
    outcomes = server.outcomes(subject.model.name, "http")
    outcomes.subtract(before)
    check(outcomes, seen.requests)
    return seen


def share(what: str, found: list[tuple[Load, float]], target: Target | None) -> Row:
    """The images served in percent of the bare session's, round by round."""
    beside = {
        "images/s": statistics.median(seen.per_s for seen, _ in found),
        "bare": statistics.median(most for _, most in found),
        "p50 ms": statistics.median(seen.p50_ms for seen, _ in found),
        "p99 ms": statistics.median(seen.p99_ms for seen, _ in found),
    }
    return median_row(what, [100 * seen.per_s / most for seen, most in found], "%", target, **beside)


def check_mask(subject: Sized, server: Server) -> None:
    """Check the picture that is answered: the bare session's mask of the fitted image, brought back to its size.

    Raises:
        WrongAnswer: it is another.
    """
    post = subject.post(server.ports["http"])
    with connection(post.port, post.path, post.body, post.headers) as ask:
        found = np.asarray(Image.open(io.BytesIO(ask())))
    package = read_package(subject.model.graph.parent)
    fitted = FittedImage.of(examine(subject.file, MAX_PIXELS), preprocessing=package.segmenter.preprocessing)
    (mask,) = subject.model.session(1).run(["mask"], {subject.model.input: fitted.rows})
    wanted = fitted.taken_back(mask[0])
    if found.shape != wanted.shape or (found != wanted).mean() > 0.001:
        raise WrongAnswer(f"{subject.title}: the mask differs from the bare session's")
