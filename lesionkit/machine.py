"""The machine that the work is done on, without names of hosts, people or folders."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import psutil

PATIENCE = 15  # seconds for the driver of a GPU to answer


@cache
def hardware() -> dict[str, str]:
    """Processor, cores, memory, GPUs and system, as a person reads them."""
    return {
        "processor": processor(),
        "cores": str(cores()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "GPU": ", ".join(gpus()) or "none",
        "system": f"{platform.system()} on {platform.machine()}",
    }


def processor() -> str:
    """The processor's model, as well as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The models of NVIDIA's GPUs, found without torch, which would take seconds."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in told.splitlines() if line.strip()]
