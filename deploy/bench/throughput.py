"""Requests per second of one model on one surface, with the answers checked."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from deploy.bench import load
from deploy.bench.callers import INFER
from deploy.bench.load import Load, Post
from deploy.bench.server import Server
from deploy.bench.subject import Subject, WrongAnswer
from deploy.bench.witness import witness


class Surface(NamedTuple):
    """A surface: its title, its name in the metrics, the name of its port, its requests and their generator."""

    title: str
    name: str
    port: str
    post: Callable[[int, Subject], Post]
    generate: Callable[[Post, int, int], Load]


def rest_post(port: int, subject: Subject) -> Post:
    """The request over REST."""
    return Post(port, subject.path, *subject.rest())


def grpc_post(port: int, subject: Subject) -> Post:
    """The request over gRPC."""
    return load.grpc(port, INFER, subject.grpc().SerializeToString())


REST = Surface("REST binary", "oip_rest", "rest", rest_post, load.wrk)
# For requests so slow that those wrk does not count, which are open when it ends, are a notable share.
SLOW_REST = REST._replace(generate=partial(load.h2load, protocol="http/1.1"))
GRPC = Surface("gRPC raw", "oip_grpc", "grpc", grpc_post, load.h2load)


def throughput(server: Server, subject: Subject, surface: Surface, connections: int, seconds: int) -> Load:
    """Load from ``connections``, one request in flight on each, while a witness sends another row.

    Raises:
        WrongAnswer: the witness got a wrong answer, or the server itself counts other outcomes than OK.
    """
    post = surface.post(server.ports[surface.port], subject)
    before = server.outcomes(subject.name, surface.name)
    with witness(server, subject.another, surface.name) as beside:
        seen = surface.generate(post, connections, seconds)
    outcomes = server.outcomes(subject.name, surface.name)
    outcomes.subtract(before)
    check(outcomes, seen.requests + beside.answers)
    return seen


def check(outcomes: Counter[str], answered: int) -> None:
    """Check that the server counts at least ``answered`` requests as OK, and others only as cancelled by the end.

    Raises:
        WrongAnswer: the server's count differs.
    """
    others = {code: count for code, count in outcomes.items() if count and code not in ("OK", "CANCELLED")}
    if others or outcomes["OK"] < answered:
        raise WrongAnswer(f"there were {answered} answers; the server counts {dict(outcomes)}")
