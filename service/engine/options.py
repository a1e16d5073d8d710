"""What a caller may ask of the engine beside the model's answer."""

import secrets
from typing import NamedTuple

from service.deadline import Deadline
from service.engine.decoding import Decoding
from service.errors import InvalidArgument
from service.package import Loop

MAX_SEED = 2**63 - 1


class Options(NamedTuple):
    """Everything has a default.

    Attributes:
        timeout_s: the longest time to the answer, in seconds from now; None for the configured one, which also is
            the latest.
        deadline: the same as a moment, for a request that has spent time elsewhere, as in decoding; the earlier counts.
        priority: the level in the model's line, 1 the highest; 0 for the card's default.
        queue_timeout_s: the longest wait to be taken from the line, of a loop's encoder and steps together; None for
            the card's.
        steps: how many steps a loop takes; None for the card's default.
        seed: what a loop's random numbers come from, 0 to 2**63 - 1; None for one of the engine's choice.
        decoding: how the tokens of a loop with a choice are chosen; None for the card's defaults.
    """

    timeout_s: float | None = None
    priority: int = 0
    queue_timeout_s: float | None = None
    steps: int | None = None
    seed: int | None = None
    decoding: Decoding | None = None
    deadline: Deadline | None = None

    def deadline_within(self, latest_s: float) -> Deadline:
        """The moment by which the answer must be there; ``latest_s`` seconds from now at the latest."""
        own = Deadline.after(latest_s if self.timeout_s is None else min(self.timeout_s, latest_s))
        return own if self.deadline is None else min(own, self.deadline)


DEFAULTS = Options()


def checked_steps(model: str, loop: Loop, options: Options) -> int:
    """How many steps are taken.

    Raises:
        InvalidArgument: more or fewer are wanted than the loop takes.
    """
    allowed = loop.steps
    steps = allowed.default if options.steps is None else options.steps
    if not allowed.minimum <= steps <= allowed.maximum:
        raise InvalidArgument(f"model {model!r}: {steps} steps came; {allowed.minimum} to {allowed.maximum} are wanted")
    return steps


def checked_seed(model: str, options: Options) -> int:
    """The seed: the one that is wanted, or one nobody can foresee, small enough for every JSON reader's numbers.

    Raises:
        InvalidArgument: it is no seed.
    """
    seed = secrets.randbits(53) if options.seed is None else options.seed
    if not 0 <= seed <= MAX_SEED:
        raise InvalidArgument(f"model {model!r}: seed {seed} came; 0 to {MAX_SEED} are wanted")
    return seed


def check_once(model: str, options: Options) -> None:
    """See that nothing is wanted that only loops have.

    Raises:
        InvalidArgument: it is.
    """
    if options.steps is not None or options.seed is not None:
        raise InvalidArgument(f"model {model!r} runs once; it takes neither steps nor a seed")
    if options.decoding is not None:
        raise InvalidArgument(f"model {model!r} runs once; it takes no decoding")
