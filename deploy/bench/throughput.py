"""Requests a second of one model on one surface: load whose answers are known to be right."""

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
    """Its names, for the reader and in the metrics, the name of its port, its requests and what generates them."""

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
# For requests so slow that those wrk does not count, the first and the last, are a share of all.
SLOW_REST = REST._replace(generate=partial(load.h2load, protocol="http/1.1"))
GRPC = Surface("gRPC raw", "oip_grpc", "grpc", grpc_post, load.h2load)


def throughput(server: Server, subject: Subject, surface: Surface, connections: int, seconds: int) -> Load:
    """Load from so many connections, one request in flight on each; a witness with another row beside it.

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
    """The server answered that many with OK, or more; it counts as cancelled what a generator's end cut off.

    Raises:
        WrongAnswer: the server's count says otherwise.
    """
    others = {code: count for code, count in outcomes.items() if count and code not in ("OK", "CANCELLED")}
    if others or outcomes["OK"] < answered:
        raise WrongAnswer(f"{answered} answers came; the server counts {dict(outcomes)}")
