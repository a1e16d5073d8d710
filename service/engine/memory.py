"""Returns free memory to the operating system."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
_mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
# glibc's numbers of its settings.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Bytes from which a block is big, and how far glibc's own threshold rises as big blocks are freed.
_BIG, _HIGHEST = 1 << 20, 32 << 20


def give_back() -> None:
    """Have glibc return the memory that it keeps free; other C libraries return it by themselves.

    Reading a graph takes several times its size for a short time. Of that, and of a model that was unloaded, glibc
    keeps much: 300 MB were resident instead of 150 after a 47 MB graph was loaded again. The call takes about 20 ms,
    in which other threads may have to wait when they allocate.
    """
    if _trim is not None:
        _trim(0)


@contextmanager
def big_blocks_returned() -> Iterator[None]:
    """Have glibc return each block of over a MiB to the operating system when it is freed, in this block.

    By itself glibc does so with the first ones only: each that is freed raises its threshold, up to 32 MiB, and blocks
    below that share the heap with small ones, which keep it from shrinking. So the whole zoo takes 185 MiB instead
    of 200 to 220, and 285 instead of 320 to 335 at the peak. Afterwards the threshold is as high as it would have
    become, so that requests reuse what others have freed.
    """
    if _mallopt is None:
        yield
        return
    _mallopt(_MMAP_THRESHOLD, _BIG)
    try:
        yield
    finally:
        _mallopt(_MMAP_THRESHOLD, _HIGHEST)
        _mallopt(_TRIM_THRESHOLD, 2 * _HIGHEST)
