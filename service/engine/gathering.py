"""How long a queue whose batches are quick lets requests gather before one runs on the loop."""

# For how many turns of the loop without a newcomer a quick batch waits for others; how many requests are enough to
# wait no more; and how often a request that is alone waits to see whether it is.
QUIET_TURNS = 32
ENOUGH = 32
PROBE_EVERY = 32


class Gathering:
    """What one queue has seen of its own requests; those of other queues neither hold its batch nor hurry it.

    A lane lets requests gather while it runs; the loop, which must read them too, reads gRPC's one in several turns,
    and would run each alone. So while requests are seen to follow each other, the first ones wait for the next; one
    caller alone waits these idle turns only now and then.
    """

    def __init__(self) -> None:
        self._came = 0
        self._quiet_turns = 0
        self._pressed = False
        self._runs = 0

    def came(self) -> None:
        """One request more."""
        self._came += 1
        self._quiet_turns = 0

    def waits(self) -> bool:
        """Whether the batch had better wait another turn of the loop; called once in each."""
        self._quiet_turns += 1
        patient = self._pressed or self._runs % PROBE_EVERY == 0
        return patient and self._came < ENOUGH and self._quiet_turns <= QUIET_TURNS

    def begins(self) -> None:
        """What has gathered runs now."""
        self._pressed = self._came > 1
        self._came = 0
        self._runs += 1
