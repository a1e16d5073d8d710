"""The processes of one run, as torchrun starts them."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """This process's ``rank`` (from 0) among ``size`` on all machines, ``local_size`` of them on this one."""

    rank: int = 0
    size: int = 1
    local_size: int = 1

    @property
    def machines(self) -> int:
        """The number of machines; torchrun starts as many processes on each."""
        return self.size // self.local_size

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and messages that all share."""
        return self.rank == 0


def find_world() -> World:
    """The processes that torchrun has started, this one among them; this one alone without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return World()
    return World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
