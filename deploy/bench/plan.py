"""How long each measurement takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Durations in seconds. What is compared takes turns in blocks; each round has servers of its own.

    ``slow_s`` is the block of a model of which a batch takes a good part of a second.
    Several servers, for where the kernel puts a server's threads is luck, and lasts as long as the server.
    """

    rounds: int = 3
    block_s: int = 5
    slow_s: int = 8
    warm_s: int = 1
    calls: int = 500
    overload_s: int = 60
    hostile_s: int = 30


FULL = Plan()
QUICK = Plan(rounds=1, block_s=1, slow_s=3, calls=50, overload_s=6, hostile_s=2)
