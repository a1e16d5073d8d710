"""Masks to try: small ones of every kind, and large ones as networks give."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray


def masks() -> st.SearchStrategy[NDArray[np.bool_]]:
    """Masks of up to 12x12 pixels, from empty to full; small ones touch themselves in every way."""

    def drawn(height: int, width: int, seed: int, share: float) -> NDArray[np.bool_]:
        return np.random.default_rng(seed).random((height, width)) < share

    sides, seeds = st.integers(1, 12), st.integers(0, 2**32)
    return st.builds(drawn, sides, sides, seeds, st.sampled_from([0.0, 0.2, 0.5, 0.6, 0.8, 1.0]))


def blobs(height: int, width: int, seed: int = 0) -> NDArray[np.bool_]:
    """Some dozens of round shapes that overlap, with holes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), bool)
    for _ in range(60):
        radius = random.integers(3, min(height, width) // 8)
        around = np.hypot(y - random.integers(height), x - random.integers(width))
        mask |= (around < radius) & (around > radius // 2)
    return mask
