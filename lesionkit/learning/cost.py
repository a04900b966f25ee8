"""What a backbone costs: parameters, operations and time an image."""

import statistics
import time

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

BATCH, BATCHES = 16, 5  # images a batch, batches timed


@torch.inference_mode()
def cost(model: nn.Module, size: int, views: int = 1) -> dict[str, float | int | str]:
    """What it takes to classify images of `size` px in `views` views, on the device where the model is.

    parameters_m: millions of parameters. macs_m: millions of multiplications with an addition for one image, of
    convolutions, matrix products and attention (half the operations that PyTorch's FlopCounterMode counts).
    ms_image: milliseconds an image, the median over 5 batches of 16 random images after one to warm up, without
    decoding and the copy to the device. device, threads: what was timed; times compare only where both are the same.
    The model is left as it is.
    """
    parameter = next(model.parameters())
    images = torch.rand(BATCH, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    training = model.training
    model.eval()
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # it misses fused attention
            model(images[:1])
        model(images)
        seconds = statistics.median(_seconds(model, images) for _ in range(BATCHES))
    finally:
        model.train(training)
    return {
        "parameters_m": sum(p.numel() for p in model.parameters()) / 1e6,
        "macs_m": views * counter.get_total_flops() / 2e6,
        "ms_image": views * 1000 * seconds / BATCH,
        "views": views,
        "device": parameter.device.type,
        "threads": torch.get_num_threads(),
    }


def _seconds(model: nn.Module, images: torch.Tensor) -> float:
    """Seconds until the answer for one batch is there."""
    _wait(images.device)
    started = time.perf_counter()
    model(images)
    _wait(images.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
