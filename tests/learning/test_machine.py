"""Threads and memory of the machine."""

import subprocess
import sys

import torch

from lesionkit.learning import machine


def test_threads_hold_inside_and_are_as_before_after():
    before = torch.get_num_threads()
    with machine.threads(1):
        assert torch.get_num_threads() == 1
        with machine.threads(0):
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_memory_that_is_freed_is_not_asked_for_again():
    """64 MB are taken and freed again and again: without it the system would have to map 15,625 pages each time.

    At first it does in any case, until the heap has what it is padded with. Of less than 32 MB glibc itself may keep.
    """
    program = """
import resource, torch
from lesionkit.learning.machine import keep_memory
keep_memory()
for i in range(40):
    if i == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert faults < 15_625
