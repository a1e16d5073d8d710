"""How long a queue with quick batches lets requests gather before one runs on the event loop."""

# A quick batch waits for more requests during this many iterations of the event loop without a newcomer; it stops
# waiting at this many requests; and a lone request waits once in this many runs, to find out whether it is alone.
QUIET_ITERATIONS = 32
ENOUGH = 32
PROBE_EVERY = 32


class Gathering:
    """What one queue has seen of its own requests. Requests of other queues neither delay its batch nor hurry it.

    While a lane runs, requests gather by themselves. The event loop has to read them as well; it reads gRPC requests in
    several iterations and would run each alone. So while requests are seen to follow one another, the first ones wait
    for the next. A single caller only waits these idle iterations now and then.
    """

    def __init__(self) -> None:
        self._arrived = 0
        self._quiet_iterations = 0
        self._busy = False
        self._runs = 0

    def arrived(self) -> None:
        """Count one more request."""
        self._arrived += 1
        self._quiet_iterations = 0

    def waits(self) -> bool:
        """Whether the batch should wait one more iteration of the event loop; call it once in each."""
        self._quiet_iterations += 1
        waits_for_more = self._busy or self._runs % PROBE_EVERY == 0
        return waits_for_more and self._arrived < ENOUGH and self._quiet_iterations <= QUIET_ITERATIONS

    def begins(self) -> None:
        """What has gathered runs now."""
        self._busy = self._arrived > 1
        self._arrived = 0
        self._runs += 1
