"""Mixed precision: where it is faster and loses nothing, which is tried at the start and not assumed."""

import copy
import time

import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from torch import Tensor, nn

from lesionkit.learning import machine

STEPS = 3  # of the trial, after one to warm up
FASTER = 1.1  # times, the least for which half precision is taken: the machine is busy with other things too
KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose(wanted: str, model: nn.Module, x: Tensor, y: Tensor, device: str) -> str:
    """fp32, bf16 or fp16. "auto" trains a copy of `model` for a few steps on the batch (x, y) in fp32 and in half precision.

    Half precision (bf16 where the hardware has it, else fp16 on a GPU) is taken where it is FASTER and loses nothing: it
    moves the gradient of the batch by less than another batch would, estimated from the two halves of this one. The model
    and the random numbers are left as they are. Timings differ from run to run: name the precision in a study whose
    results are to be the same to the bit.
    """
    if wanted != "auto":
        return wanted
    half = half_precision(device)
    if half == "fp32":
        return half
    with machine.randomness(device):
        exact, near, *parts = (gradient(kind, model, x[i], y[i]) for kind, i in (
            ("fp32", slice(None)), (half, slice(None)), ("fp32", slice(0, None, 2)), ("fp32", slice(1, None, 2))))  # fmt: skip
        rounding, sampling = (near - exact).norm(), (parts[0] - parts[1]).norm() / 2
        loses = not near.isfinite().all() or rounding > sampling
        faster = not loses and seconds("fp32", model, x, y) > FASTER * seconds(half, model, x, y)
    return half if faster else "fp32"


def gradient(precision: str, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of the cross-entropy of (x, y) in training, flat, in float64."""
    model = copy.deepcopy(model).train()
    torch.manual_seed(0)  # the same dropout each time
    _backward(precision, model, x, y)
    return torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])


def seconds(precision: str, model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Seconds that a step takes, but for the optimiser: forward and backward."""
    model = copy.deepcopy(model).train()
    _backward(precision, model, x, y).item()
    started = time.perf_counter()
    for _ in range(STEPS):
        loss = _backward(precision, model, x, y)
    loss.item()  # waits for a GPU
    return (time.perf_counter() - started) / STEPS


def _backward(precision: str, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    scale = 2.0**10 if precision == "fp16" else 1.0  # without it small gradients are zero in fp16
    with torch.autocast(x.device.type, KINDS.get(precision), enabled=precision in KINDS):
        loss = nn.functional.cross_entropy(model(x), y)
    model.zero_grad()
    (loss * scale).backward()
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= scale
    return loss


def half_precision(device: str) -> str:
    """The half precision that the hardware of `device` computes in; fp32 where it has none, or none that is known to help."""
    if torch.device(device).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    native = torch.device(device).type == "cpu" and _native_on_cpu()
    return "bf16" if native else "fp32"


def _native_on_cpu() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def callbacks(precision: str, device: str) -> list[Callback]:
    """What fastai needs to train in `precision`, one that `choose` returns."""
    if precision == "fp16":  # needs loss scaling
        return [MixedPrecision()]
    return [] if precision == "fp32" else [Bfloat16(device)]


def leave(callbacks: list[Callback]) -> None:
    """End the mixed precision that a step left on when it was interrupted.

    Whatever is trained later in this process would else be computed from weights that were cast, and kept, at that time.
    """
    for callback in callbacks:
        context = getattr(callback, "autocast", None)
        if isinstance(context, torch.autocast) and torch.is_autocast_enabled(context.device):
            context.__exit__(None, None, None)


class Bfloat16(Callback):
    """Mixed precision with bf16 on any device; fastai's own knows CUDA alone."""

    order = 10

    def __init__(self, device: str):
        self.autocast = torch.autocast(torch.device(device).type, torch.bfloat16)  # the name that it has in fastai's

    def before_batch(self) -> None:
        self.autocast.__enter__()

    def after_loss(self) -> None:
        self.autocast.__exit__(None, None, None)
