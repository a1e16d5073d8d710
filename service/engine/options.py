"""The options of a request to the engine."""

import secrets
from typing import NamedTuple

from service.deadline import Deadline
from service.engine.sampling_parameters import DecodingOptions, SamplingParameters
from service.errors import InvalidArgument
from service.package import Loop

MAX_SEED = 2**63 - 1


class Options(NamedTuple):
    """Every option has a default.

    Attributes:
        timeout_s: the longest time to the answer, in seconds from now; None for the configured time, which is also
            the maximum.
        priority: the level in the model's queue; 1 is the highest, 0 stands for the card's default.
        queue_timeout_s: the longest wait in the queue, for a step loop's encoder and steps together; None for the
            card's.
        steps: how many steps a step loop takes; None for the card's default.
        seed: what a step loop's random numbers come from, 0 to 2**63 - 1; None for one that the engine draws.
        emit_every: from one emission of a step loop to the next there are so many steps; its last step always emits.
            None for 1. Between two emissions nothing of the steps is copied.
        decoding: how tokens are chosen, for a step loop that has a choice of them; None for the card's defaults.
        rows: how many rows a request to a step loop has, if its tensors do not say so because it has none. None for 1.
        deadline: when the answer must be there, for a request that has already spent time, as in decoding an image. The
            earlier of this and ``timeout_s`` counts.
    """

    timeout_s: float | None = None
    priority: int = 0
    queue_timeout_s: float | None = None
    steps: int | None = None
    seed: int | None = None
    decoding: DecodingOptions | None = None
    emit_every: int | None = None
    rows: int | None = None
    deadline: Deadline | None = None

    def deadline_within(self, latest_s: float) -> Deadline:
        """The deadline of the request, at most ``latest_s`` seconds from now."""
        own = Deadline.after(latest_s if self.timeout_s is None else min(self.timeout_s, latest_s))
        return own if self.deadline is None else min(own, self.deadline)


DEFAULTS = Options()


def checked_steps(model: str, loop: Loop, options: Options) -> int:
    """The number of steps.

    Raises:
        InvalidArgument: the card does not allow it.
    """
    allowed = loop.steps
    steps = allowed.default if options.steps is None else options.steps
    if not allowed.minimum <= steps <= allowed.maximum:
        raise InvalidArgument(f"steps is {steps}; model {model!r} allows {allowed.minimum} to {allowed.maximum}")
    return steps


def checked_stride(model: str, loop: Loop, options: Options, sampling: SamplingParameters | None) -> int:
    """How many steps there are from one emission to the next.

    Raises:
        InvalidArgument: it is out of range; or it is not 1 although the loop makes a text, of which every token is
            needed, or beam search answers, which emits only at its end.
    """
    every = 1 if options.emit_every is None else options.emit_every
    most, why = loop.steps.maximum, ""
    if loop.text is not None:
        most, why = 1, ", because a text is made of every step's token"
    elif sampling is not None and sampling.strategy == "beam":
        most, why = 1, " with beam search, which emits only at its end"
    if not 1 <= every <= most:
        allowed = f"1 to {most}" if most > 1 else "1"
        raise InvalidArgument(f"emit_every is {every}; model {model!r} allows {allowed}{why}")
    return every


def checked_seed(model: str, options: Options) -> int:
    """The requested seed, or an unpredictable one, which is small enough for the numbers of every JSON reader.

    Raises:
        InvalidArgument: the requested seed is out of range.
    """
    seed = secrets.randbits(53) if options.seed is None else options.seed
    if not 0 <= seed <= MAX_SEED:
        raise InvalidArgument(f"seed is {seed}; model {model!r} allows 0 to {MAX_SEED}")
    return seed


def check_once(model: str, options: Options) -> None:
    """Check that no option is set that only step loops have.

    Raises:
        InvalidArgument: one is.
    """
    for name in ("steps", "seed", "decoding", "emit_every", "rows"):
        if getattr(options, name) is not None:
            raise InvalidArgument(f"{name} was given; model {model!r} runs once and allows none")
