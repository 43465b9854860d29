"""What is asked of the machine."""

import platform
import subprocess
import sys

import pytest

HELD = """
import torch
from cdlearn.runtime.devices import keep_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if {keep}:
    keep_memory()
before = resident()
block = torch.ones(50_000_000)
del block
print((resident() - before) / 200_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to keep what is freed")
@pytest.mark.parametrize(("keep", "low", "high"), [(False, -0.1, 0.1), (True, 0.9, 1.1)])
def test_freed_memory_is_kept_where_that_is_asked_for(keep, low, high):
    found = subprocess.run([sys.executable, "-c", HELD.format(keep=keep)], capture_output=True, text=True, check=True)
    assert low < float(found.stdout) < high
