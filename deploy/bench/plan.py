"""The duration of each measurement."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Durations in seconds. Compared measurements take turns in blocks; each round starts new servers.

    ``slow_s`` is the block for a model whose batches take a good part of a second. New servers are started because the
    kernel's placement of a server's threads is random, and lasts as long as the server.
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
