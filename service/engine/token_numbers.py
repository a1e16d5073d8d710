"""The random numbers that rows choose their tokens by."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_PER_COUNT = 4  # Philox gives this many numbers of 64 bits for each value of its counter
_TOKENS = 1  # the last word of the counter: apart from a row's draws, which begin at 0


class TokenNumbers:
    """Uniform numbers in [0, 1), ``size`` at a time.

    They depend on the request's seed and the row's index, on nothing else. One generator is set to each row's place in
    turn, which takes a third of the time that making a generator takes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._philox = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._philox)

    def of(self, seed: int, index: int, block: int) -> NDArray[np.float64]:
        """The numbers ``block * size`` to ``(block + 1) * size`` of a row: (size,)."""
        state: Any = {
            "bit_generator": "Philox",
            "state": {
                "counter": np.array([block * self._size // _PER_COUNT, 0, 0, _TOKENS], "u8"),
                "key": np.array([seed, index], "u8"),
            },
            "buffer": np.zeros(_PER_COUNT, "u8"),
            "buffer_pos": _PER_COUNT,
            "has_uint32": 0,
            "uinteger": 0,
        }
        self._philox.state = state
        return self._generator.random(self._size)
