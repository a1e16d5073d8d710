"""What a caller may ask of the engine beside the model's answer."""

from typing import NamedTuple


class Options(NamedTuple):
    """Everything has a default.

    Attributes:
        timeout_s: the deadline, from now; None for the configured one, which also is the latest.
        priority: the level in the model's line, 1 the highest; 0 for the card's default.
        queue_timeout_s: the longest wait to be taken from the line; None for the card's.
        steps: how many steps a loop takes; None for the card's default.
        seed: what a loop's random numbers come from, 0 to 2**63 - 1; None for one of the engine's choice.
    """

    timeout_s: float | None = None
    priority: int = 0
    queue_timeout_s: float | None = None
    steps: int | None = None
    seed: int | None = None


DEFAULTS = Options()
