"""The garbage collector's settings in a process that serves."""

import gc


def spare_collector() -> None:
    """Exclude what is loaded so far from garbage collection, and collect less often from now on.

    Requests leave almost no reference cycles, and collecting took a fifth of a request's time (2 cores, 64 callers).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
