"""Class activation maps of every backbone: where in the image the evidence for a class lies.

The methods are pytorch-grad-cam's. What is added here: which module to read in which network and at which image size
(`layers.py`), one pass for several methods, a backward pass that ends at that module, maps that lie on the image to
the pixel, and models that are left as found.

A map is float32 in [0, 1]: what a position adds to the class's logit, relative to the image's own lowest and highest.
Its level says nothing across images or models. A map without contrast (constant, no gradient, nothing that speaks for
the class, nothing finite) is zero all over.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM
from scipy.special import softmax
from torch import Tensor, nn

from lesionkit.explain.layers import as_found, as_grid, cam_layer, on_image, recorded
from lesionkit.learning.augmentation import normalise, to_float
from lesionkit.learning.backbones import backbone
from lesionkit.learning.machine import threads

FLAT = 1e-5  # a range below this share of the highest value is rounding, not contrast


class _Eigen(EigenCAM):
    """The package's, with a sign that does not depend on chance and without a matrix of channels by channels."""

    def get_cam_image(
        self, x: Tensor, layer: nn.Module, targets: Any, activations: np.ndarray, *more: Any
    ) -> np.ndarray:
        return first_component(activations)


class _Score(ScoreCAM):
    """The package's, with masks that lie where the map will, `batch_size` at a time: it makes all at once."""

    stride, batch_size, sign = 1, 32, 1

    def get_cam_weights(self, x: Tensor, layer: nn.Module, targets: Sequence[int], activations: np.ndarray,
                        grads: Any) -> np.ndarray:  # fmt: skip
        scores = np.zeros(activations.shape[:2], np.float32)  # (B, C): the logit of the image as each channel masks it
        for score, image, target, channels in zip(scores, x, targets, activations, strict=True):
            for i in range(0, len(channels), self.batch_size):
                masks = stretched(on_image(channels[i : i + self.batch_size], tuple(x.shape[2:]), self.stride))
                masked = image * torch.from_numpy(masks)[:, None].to(x)  # grey where it is 0: the input is normalised
                with torch.no_grad():
                    logits = self.model(masked.contiguous(memory_format=torch.channels_last))
                score[i : i + self.batch_size] = logits[:, target].cpu()
        return softmax(self.sign * scores, axis=1)


_CAMS = {
    "gradcam": GradCAM,  # Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74
    "gradcam++": GradCAMPlusPlus,  # Chattopadhyay et al. 2018, doi:10.1109/WACV.2018.00097
    "layercam": LayerCAM,  # Jiang et al. 2021, doi:10.1109/TIP.2021.3089943
    "hirescam": HiResCAM,  # Draelos & Carin 2020, arXiv:2011.08891
    "eigencam": _Eigen,  # Muhammad & Yeasin 2020, doi:10.1109/IJCNN48605.2020.9206626
    "scorecam": _Score,  # Wang et al. 2020, doi:10.1109/CVPRW50498.2020.00020
}
METHODS = tuple(_CAMS)
WITHOUT_GRADIENTS = ("eigencam", "scorecam")
OF_NO_CLASS = ("eigencam",)
AGAINST = "-"  # before a method that asks for a class: what speaks against it, as Selvaraju et al. do


def cam_maps(model: nn.Module, config: Mapping[str, Any], images: np.ndarray, targets: Sequence[int] | None = None,
             methods: Sequence[str] = ("gradcam",), batch_size: int = 32) -> dict[str, np.ndarray]:  # fmt: skip
    """Where the evidence for `targets` lies in uint8 RGB images (n, H, W, 3): of each method, maps (n, H, W) in [0, 1].

    `model` and `config` as from `inference.load`; config gives backbone, normalisation and classes. `targets` are n
    class numbers; None takes for each image the class that the model calls. All methods share one forward pass and,
    where one of them needs gradients, a backward pass from the logit to the layer. With AGAINST before its name
    ("-gradcam"), a method shows what speaks against the class. "scorecam" adds a forward pass for each channel of the
    layer (hundreds an image). "eigencam" asks for no class: its map is the features' first principal component.
    Raises ValueError for images, targets or methods of another kind, and for a network without a layer of positions.
    """
    targets = _checked(images, targets, methods, len(config["classes"]))
    maps = {method: np.zeros(images.shape[:3], np.float32) for method in methods}
    frame, device = images.shape[1:3], next(model.parameters()).device
    layer, stride = cam_layer(model, backbone(config["backbone"]), min(frame))
    gradients = not {method.removeprefix(AGAINST) for method in methods} <= set(WITHOUT_GRADIENTS)
    count = config.get("study", {}).get("threads", 0)
    with threads(count), torch.autocast(device.type, enabled=False), as_found(model):
        cams = {method: _CAMS[method.removeprefix(AGAINST)](model, []) for method in methods}
        for method, cam in cams.items():
            cam.stride, cam.batch_size, cam.sign = stride, batch_size, -1 if method.startswith(AGAINST) else 1
        for i in range(0, len(images), batch_size):
            batch = slice(i, i + batch_size)
            x = normalise(to_float(images[batch], device), *config["normalisation"])
            called, features, slopes = _read(model, layer, stride, x, targets and targets[batch], gradients)
            for method, cam in cams.items():
                signed = None if slopes is None else cam.sign * slopes
                coarse = cam.get_cam_image(x, layer, called, features, signed, False)
                maps[method][batch] = stretched(on_image(np.maximum(coarse, 0), frame, stride))
    return maps


def signs(method: str) -> list[str]:
    """The method, and what it shows against the class where it asks for one."""
    return [method] if method in OF_NO_CLASS else [method, AGAINST + method]


def stretched(maps: np.ndarray) -> np.ndarray:
    """Maps (..., H, W), each stretched to [0, 1]; those without contrast, or not finite, are 0 all over."""
    low, high = maps.min((-2, -1), keepdims=True), maps.max((-2, -1), keepdims=True)
    contrast = high - low > FLAT * np.maximum(np.abs(low), np.abs(high))
    return np.where(contrast, (maps - low) / np.where(contrast, high - low, 1), 0)


def first_component(activations: np.ndarray) -> np.ndarray:
    """Features (B, C, h, w) projected on their first principal component over the positions: (B, h, w), float32.

    Its sign is the one that makes the value farthest from 0 positive (Chung & Ying 2025, doi:10.3390/app15137562,
    eq. 13); features that are the same everywhere give 0. Taken from the smaller of the two matrices of inner products,
    of positions or of channels.
    """
    values = np.nan_to_num(activations.reshape(*activations.shape[:2], -1).astype(np.float64), posinf=0, neginf=0)
    apart = values - values.mean(2, keepdims=True)  # (B, C, h w)
    if apart.shape[1] < apart.shape[2]:
        axes = np.linalg.eigh(apart @ apart.swapaxes(1, 2))[1][..., -1]  # (B, C)
        along = (axes[:, None] @ apart)[:, 0]
    else:
        squares, axes = np.linalg.eigh(apart.swapaxes(1, 2) @ apart)
        along = np.sqrt(np.maximum(squares[:, -1:], 0)) * axes[..., -1]  # (B, h w)
    along *= np.where(along.max(1) >= -along.min(1), 1, -1)[:, None]
    along[(apart**2).sum((1, 2)) <= FLAT**2 * (values**2).sum((1, 2))] = 0
    return along.reshape(len(along), *activations.shape[2:]).astype(np.float32)


def _read(model: nn.Module, layer: nn.Module, stride: int, x: Tensor, targets: list[int] | None,
          gradients: bool) -> tuple[list[int], np.ndarray, np.ndarray | None]:  # fmt: skip
    """Classes (B,), the layer's features (B, C, h, w) and the gradient of the class's logit at them, from one pass."""
    with recorded(layer, gradients) as outputs, torch.set_grad_enabled(gradients):
        logits = model(x)
        if not outputs or logits.requires_grad != gradients:
            raise ValueError(
                f"no logit depends on the layer {type(layer).__name__}: give the backbone a line in BACKBONES that "
                "names another"
            )
        targets = logits.argmax(1).tolist() if targets is None else targets
        read = outputs[-1:]
        if gradients:
            read += torch.autograd.grad(logits[range(len(x)), targets].sum(), read)
    prefix = getattr(model, "num_prefix_tokens", 0)
    grids = [as_grid(part.detach(), x.shape, stride, prefix).cpu().numpy() for part in read]
    return targets, grids[0], grids[1] if gradients else None


def _checked(
    images: np.ndarray, targets: Sequence[int] | None, methods: Sequence[str], classes: int
) -> list[int] | None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are {images.dtype} {images.shape}: give uint8 (n, H, W, 3)")
    known = {*METHODS, *(AGAINST + method for method in METHODS if method not in OF_NO_CLASS)}
    if isinstance(methods, str) or not set(methods) <= known:
        raise ValueError(f"methods {methods!r}: give some of {METHODS}")
    if targets is None:
        return None
    targets = [int(k) for k in targets]
    if len(targets) != len(images) or not all(0 <= k < classes for k in targets):
        raise ValueError(
            f"{len(targets)} targets {targets[:5]} for {len(images)} images: give each one, 0 to {classes - 1}"
        )
    return targets
