"""The moment by which a request must be answered: one for all of its stages."""

import math
import time
from typing import NamedTuple

from service.errors import DeadlineExceeded


class Deadline(NamedTuple):
    """``at`` is in the seconds of `time.perf_counter`; deadlines compare by it, the earlier is the smaller.

    ``allowed_s`` is how long the request was allowed to take when the deadline was set, for the message.
    """

    at: float
    allowed_s: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline ``seconds`` from now."""
        return cls(time.perf_counter() + seconds, seconds)

    @property
    def remaining_s(self) -> float:
        """The seconds until the deadline; negative once it has passed."""
        return self.at - time.perf_counter()

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed, so that nothing more may begin for the request."""
        return time.perf_counter() >= self.at

    def check(self) -> None:
        """Check that there is time left; called before each stage begins.

        Raises:
            DeadlineExceeded: there is none.
        """
        if self.passed:
            raise self.exceeded()

    def exceeded(self, where: str = "") -> DeadlineExceeded:
        """The error for a request that has no time left; ``where`` names the model, if it is known."""
        return DeadlineExceeded(f"{where}{': ' if where else ''}no answer in {max(self.allowed_s, 0):g} s")


NEVER = Deadline(math.inf, math.inf)
