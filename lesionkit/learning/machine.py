"""The machine that computes: its device, its threads, its memory."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
KEPT = 1 << 30  # bytes


def default_device() -> str:
    """cuda, mps or cpu: the best that is here."""
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def randomness(device: str) -> Iterator[None]:
    """Torch's global random numbers, of the CPU and of `device`, are after it as they were before."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.device(device).type == "cuda" else []):
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside, torch computes with `count` threads of the CPU; 0: with as many as before.

    The count decides in which order sums are taken, and so the last bits of what is trained and predicted.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def keep_memory() -> None:
    """Have glibc keep memory that is freed, up to KEPT bytes, for the next batch instead of handing it back to the system.

    Activations are freed and asked for again at each step, and each time the system would fill them with zeros, page by
    page. Holds for this process; does nothing where there is no glibc.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, KEPT) or libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # all that an older glibc allows
        libc.mallopt(M_TRIM_THRESHOLD, KEPT)
        libc.mallopt(M_TOP_PAD, KEPT // 16)
