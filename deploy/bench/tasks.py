"""The task endpoints: an image file in, labels out, compared with a plain app of a dozen lines and with other servers.

LitServe is measured if it is installed (the extra ``bench``). Each is one process, on the same cores, in turn.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import orjson

from deploy.bench import load
from deploy.bench.callers import post as connection
from deploy.bench.load import Load, NoAnswer, Post
from deploy.bench.picture_file import GRPC, HTTP, RAW, PictureFile, pictures
from deploy.bench.plan import Plan
from deploy.bench.rivals import process
from deploy.bench.server import Bare, OnePort, Server
from deploy.bench.subject import WrongAnswer
from deploy.bench.table import Row, Target, at_least, median_row
from deploy.bench.throughput import check
from protos.lectorium.v1 import vision_pb2 as pb

CONNECTIONS = (1, 8, 64)
MANY = 64
TWO, PLAIN, EMPTY = f"{HTTP} by two workers", "plain app", "empty grpc.aio RPC"
RIVALS = LITSERVE, BENTOML = "LitServe", "BentoML"
FAILED = Load(0, 0.0, 0.0, 0.0)
METHOD = "/lectorium.v1.Vision/Classify"
FIRST_BY = at_least(2)
# How many times as long a server is measured that answers nothing at first.
MOST_TIMES = 4

Key = tuple[str, int]  # what is measured, and the number of connections
Loads = Mapping[Key, list[Load]]


def rows(plan: Plan) -> Iterator[Row]:
    """For each picture: the requests per second relative to each rival's, at 1, 8 and 64 connections."""
    for picture in pictures():
        loads: dict[Key, list[Load]] = {}
        for _ in range(plan.rounds):
            with ExitStack() as stack:
                for (name, connections), measure in measures(picture, stack).items():
                    # With a slow model, the last requests keep some servers busy for seconds after the load has ended.
                    if plan.warm_s and not picture.slow:
                        attempt(name, measure, plan.warm_s)
                    load = attempt(name, measure, plan.slow_s if picture.slow else plan.block_s)
                    loads.setdefault((name, connections), []).append(load)
        yield from compared(picture, loads)


def attempt(name: str, measure: Callable[[int], Load], seconds: int) -> Load:
    """What `patiently` measures; no requests, if it is a rival that answers none or refuses some.

    Raises:
        RuntimeError: another server does that.
    """
    try:
        return patiently(measure, seconds)
    except RuntimeError:
        if name not in RIVALS:
            raise
        return FAILED


def patiently(measure: Callable[[int], Load], seconds: int) -> Load:
    """The load of so many seconds; of more, if the server is so slow or so busy that it answers none.

    Raises:
        NoAnswer: it answers none in `MOST_TIMES` as many either.
    """
    for times in range(1, MOST_TIMES):
        with suppress(NoAnswer):
            return measure(times * seconds)
    return measure(MOST_TIMES * seconds)


def compared(picture: PictureFile, loads: Loads) -> Iterator[Row]:
    """The rows of our figures over theirs, round by round."""
    for connections in CONNECTIONS:
        targets = picture.targets if connections > 1 else {}
        for ours in (HTTP, RAW, GRPC) if picture.small else (HTTP, GRPC):
            yield times(picture, loads, ours, PLAIN, connections, targets.get(ours))
        for rival in (name for name in RIVALS if (name, connections) in loads):
            if FAILED in loads[rival, connections]:
                yield Row(f"{picture.title}, {rival}, {connections} connections: it fails", 0, "req/s")
            else:
                yield times(picture, loads, HTTP, rival, connections, FIRST_BY)
    for ours, target in picture.alone.items():
        alone = [our.p50_ms / plain.p50_ms for our, plain in zip(loads[ours, 1], loads[PLAIN, 1], strict=True)]
        yield median_row(f"{picture.title}, {ours}, one caller's p50 over the {PLAIN}'s", alone, "x", target)
    if (TWO, MANY) in loads:
        yield times(picture, loads, TWO, PLAIN, MANY, at_least(2))
        yield times(picture, loads, GRPC, EMPTY, MANY, at_least(0.4))


def times(
    picture: PictureFile, loads: Loads, ours: str, theirs: str, connections: int, target: Target | None = None
) -> Row:
    """Our requests per second over theirs."""
    pairs = list(zip(loads[ours, connections], loads[theirs, connections], strict=True))
    what = f"{picture.title}, {ours}, {connections} connection{'s' * (connections > 1)}, over the {theirs}"
    beside = {
        "req/s": statistics.median(our.per_s for our, _ in pairs),
        "theirs": statistics.median(their.per_s for _, their in pairs),
        "p50 ms": statistics.median(our.p50_ms for our, _ in pairs),
        "p99 ms": statistics.median(our.p99_ms for our, _ in pairs),
    }
    return median_row(what, [our.per_s / their.per_s for our, their in pairs], "x", target, **beside)


def measures(picture: PictureFile, stack: ExitStack) -> dict[Key, Callable[[int], Load]]:
    """How each is measured for a number of seconds; compared ones follow each other. ``stack`` ends the servers."""
    start = stack.enter_context
    server = start(Server(picture.repository, default_models=f"classify={picture.model}"))
    others = {name: start(make(picture.package)) for name, make in rivals().items()}
    check_agreement(picture, [server.ports["http"], *(other.port for other in others.values())])
    found: dict[Key, Callable[[int], Load]] = {}
    for connections in CONNECTIONS:
        found[HTTP, connections] = partial(served, server, picture, HTTP, connections)
        if picture.small:
            found[RAW, connections] = partial(served, server, picture, RAW, connections)
        # Ours first: a rival works on for seconds on what it was sent before its load ended.
        found[GRPC, connections] = partial(served, server, picture, GRPC, connections)
        for name, other in others.items():
            found[name, connections] = partial(generate, picture, form(other.port, picture), connections)
    if picture.small:
        two = start(Server(picture.repository, default_models=f"classify={picture.model}", workers=2))
        found[TWO, MANY] = partial(served, two, picture, HTTP, MANY)
        empty = start(Bare("empty_rpc"))
        found[EMPTY, MANY] = partial(load.h2load, load.grpc(empty.port, "/bench.Empty/Call", b""), MANY)
    return found


def served(server: Server, picture: PictureFile, what: str, connections: int, seconds: int) -> Load:
    """Load on one of our own surfaces.

    Raises:
        WrongAnswer: the server itself counts other outcomes than OK.
    """
    surface, port = ("vision_grpc", "grpc") if what == GRPC else ("http", "http")
    before = server.outcomes(picture.model, surface)
    if what == HTTP:
        seen = generate(picture, form(server.ports[port], picture), connections, seconds)
    elif what == RAW:
        post = Post(server.ports[port], HTTP, picture.file, {"Content-Type": picture.media_type})
        seen = load.wrk(post, connections, seconds)
    else:
        message = pb.ClassifyRequest(image=picture.file).SerializeToString()
        seen = load.h2load(
            load.grpc(server.ports[port], "/lectorium.v1.Vision/Classify", message), connections, seconds
        )
    outcomes = server.outcomes(picture.model, surface)
    outcomes.subtract(before)
    check(outcomes, seen.requests)
    return seen


def generate(picture: PictureFile, post: Post, connections: int, seconds: int) -> Load:
    """Load over HTTP; slow requests are too few for wrk, which does not count those that are open when it ends."""
    if picture.slow:
        return load.h2load(post, connections, seconds, "http/1.1")
    return load.wrk(post, connections, seconds)


def form(port: int, picture: PictureFile) -> Post:
    """The image file in a multipart form."""
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\nContent-Type: %b\r\n\r\n'
    body = head % picture.media_type.encode() + picture.file + b"\r\n--b--\r\n"
    return Post(port, "/v1/classify", body, {"Content-Type": "multipart/form-data; boundary=b"})


def check_agreement(picture: PictureFile, ports: list[int]) -> None:
    """Check that the servers on these ports agree on the most probable class.

    Raises:
        WrongAnswer: they do not.
    """
    found = [top_label(form(port, picture)) for port in ports]
    if len(set(found)) > 1:
        raise WrongAnswer(f"{picture.title}: the most probable classes are {found}; they must be the same")


def top_label(post: Post) -> int:
    """The index of the most probable class."""
    with connection(post.port, post.path, post.body, post.headers) as ask:
        answer = orjson.loads(ask())
    # BentoML answers a single request of a batchable method with a list.
    index: int = (answer[0] if isinstance(answer, list) else answer)["labels"][0]["index"]
    return index


def rivals() -> dict[str, Callable[[Path], OnePort]]:
    """The other servers of a package, by name: those that are installed."""
    found: dict[str, Callable[[Path], OnePort]] = {PLAIN: partial(process.module, "plain"), BENTOML: process.bentoml}
    return found | ({LITSERVE: partial(process.module, "litserve_api")} if find_spec("litserve") else {})
