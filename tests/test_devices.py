"""What is asked of the machine."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ACTIVATIONS = """
import resource, sys, torch
from sparsecert.devices import keep_memory

if sys.argv[1] == "kept":
    keep_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def layers():
    small = torch.ones(2**21)  # 8 MiB, as those of a pass
    return (small + 1) * 2

layers()
before = faults()
for _ in range(20):
    layers()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_memory_of_one_pass_is_there_for_the_next() -> None:
    """Each page of 4 KiB that has to be cleared again is a fault: 2 048 for every activation."""
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", ACTIVATIONS, how]))
        for how in ("kept", "returned")
    )
    assert kept < returned / 4
