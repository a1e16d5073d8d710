"""The garbage collector of a process that serves."""

import gc


def spare_collector() -> None:
    """Have the garbage collector pass over what is loaded by now, and look less often at what requests leave.

    Requests leave next to no cycles, and the collector's passes were a fifth of what one costs (2 cores, 64 callers).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
