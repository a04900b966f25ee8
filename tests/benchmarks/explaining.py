"""What maps cost: `cam_maps` against a plain forward and backward pass of the same network, in one run.

    python tests/benchmarks/explaining.py resnet50 vit_base_patch16_224 --size 64 --images 256

The plain pass is what Grad-CAM does without care: evaluation mode, the sum of the logits called, and gradients for
every parameter. Images are random, batches are of 32, and every time includes their normalisation. In each of three
rounds the three take turns. Printed: the median seconds of the plain pass, of Grad-CAM alone and of all methods that
share its pass, and their ratios to the plain pass (wanted for Grad-CAM: at most 1.5).
"""

import argparse
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from lesionkit.bench.clock import now
from lesionkit.data.records import CLASSES
from lesionkit.explain.cams import METHODS, cam_maps
from lesionkit.learning.augmentation import normalise, to_float
from lesionkit.learning.backbones import BACKBONES, normalisation
from lesionkit.learning.machine import default_device, keep_memory
from lesionkit.learning.networks import build

BATCH, ROUNDS, LARGEST_RATIO = 32, 3, 1.5
ONE_PASS = tuple(method for method in METHODS if method != "scorecam")


def plain(model: nn.Module, config: dict, images: np.ndarray) -> None:
    """A forward and a backward pass to the parameters for each batch."""
    device = next(model.parameters()).device
    for i in range(0, len(images), BATCH):
        x = normalise(to_float(images[i : i + BATCH], device), *config["normalisation"])
        model(x).amax(1).sum().backward()
        model.zero_grad()


def seconds(runs: dict[str, Callable[[], object]], device: str) -> dict[str, float]:
    """The median seconds of each run over the rounds, in which they take turns; one turn before is not timed."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS + 1):
        for name, run in runs.items():
            start = now(device)
            run()
            taken[name].append(now(device) - start)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def measured(name: str, images: np.ndarray, device: str) -> dict[str, float]:
    torch.manual_seed(0)
    model = build(name, images.shape[1])[0].to(device, memory_format=torch.channels_last).eval()
    config = {"backbone": name, "normalisation": normalisation(name), "classes": list(CLASSES)}
    return seconds({
        "plain": lambda: plain(model, config, images),
        "gradcam": lambda: cam_maps(model, config, images, batch_size=BATCH),
        "all": lambda: cam_maps(model, config, images, methods=ONE_PASS, batch_size=BATCH),
    }, device)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(BACKBONES), help="left out: all backbones with a record")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=256)
    asked = parser.parse_args()
    keep_memory()
    device = default_device()
    images = np.random.default_rng(0).integers(0, 256, (asked.images, asked.size, asked.size, 3), dtype=np.uint8)
    what = f"{asked.images} images of {asked.size} px on {device}, {torch.get_num_threads()} threads"
    print(f"{what}: seconds, and times the plain pass")
    print(f"{'':26}{'plain':>8}{'gradcam':>9}{'':>7}{f'all {len(ONE_PASS)}':>9}")
    for name in asked.names:
        one = measured(name, images, device)
        ratios = {key: one[key] / one["plain"] for key in ("gradcam", "all")}
        cells = "".join(f"{one[key]:9.2f} ×{ratio:5.2f}" for key, ratio in ratios.items())
        note = "" if ratios["gradcam"] <= LARGEST_RATIO else f"  above {LARGEST_RATIO:g}"
        print(f"{name:26}{one['plain']:8.2f}{cells}{note}", flush=True)


if __name__ == "__main__":
    main()
