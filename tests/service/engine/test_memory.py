"""Memory that is freed goes back to the operating system."""

import platform
import subprocess
import sys

import pytest

# Blocks of 2 MiB are taken and freed, as graphs are read and warmed, but for smaller ones between them that stay.
LOAD = """
import ctypes, sys
from contextlib import nullcontext
from service.engine.memory import big_blocks_returned

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def resident():
    return next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("VmRSS:"))

def block(size):
    address = libc.malloc(size)
    ctypes.memset(address, 1, size)
    return address

before = resident()
with big_blocks_returned() if sys.argv[1] == "returned" else nullcontext():
    libc.free(block(4 << 20))  # from here on, glibc by itself would have blocks up to this size in the heap
    big = []
    for _ in range(32):
        big.append(block(2 << 20))
        block(100 << 10)
    for address in big:
        libc.free(address)
print(resident() - before)
"""


def grown_mib(how: str) -> int:
    """By how much a process grows that loads so."""
    done = subprocess.run([sys.executable, "-c", LOAD, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_big_blocks_that_are_freed_while_models_load_leave_the_process() -> None:
    assert grown_mib("kept") > 40
    assert grown_mib("returned") < 10
