"""Several processes write one index: each sees the others' items, and what one has acknowledged outlives it."""

import signal
import subprocess
import sys
from pathlib import Path

from service.indexes import Opened, Store
from tests.service.indexes.making import random_vectors, write_index

# Adds items one by one, and says so after each.
WRITER = """
import sys
from pathlib import Path
from service.indexes import Store, add
from tests.service.indexes.making import items, random_vectors
store, first = Store(Path(sys.argv[1])), int(sys.argv[2])
for i, vector in enumerate(random_vectors(int(sys.argv[3]), seed=first)):
    add(store, items(vector[None], first + i), 30)
    print(first + i, flush=True)
"""


def writer(folder: Path, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_process_had_acknowledged_is_there(tmp_path: Path) -> None:
    folder = write_index(tmp_path, random_vectors(2))
    acknowledged = []
    with writer(folder, 100, 390) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(int(line))
            if len(acknowledged) == 20:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    store = Store(folder)
    assert all(store.has(f"item {each}") for each in acknowledged)
    assert len(acknowledged) <= store.summary().items - 2 <= len(acknowledged) + 1


def test_processes_that_write_side_by_side_lose_nothing(tmp_path: Path) -> None:
    folder = write_index(tmp_path, random_vectors(2))
    reader = Opened(folder)
    query = random_vectors(1)[0]
    with writer(folder, 100, 60) as one, writer(folder, 300, 60) as other:
        assert one.stdout is not None
        for line in one.stdout:  # read your writes, while others write
            assert reader.search(query, 500, thumbnails=False).items >= int(line) - 100 + 1
        other.wait()
    found, count = reader.search(query, 500, thumbnails=False)
    assert count == 122
    assert {each.name for each in found} >= {f"item {first + i}" for first in (100, 300) for i in range(60)}
