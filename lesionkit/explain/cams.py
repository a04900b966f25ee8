"""Grad-CAM for every backbone: where in the image the evidence for a class lies.

The method is pytorch-grad-cam's. What is added here: which module to read in which network and at which image size, a
backward pass that ends at that module, maps that lie on the image to the pixel, and models that are left as found.

A map is float32 in [0, 1]: what a position adds to the class's logit, relative to the image's own lowest and highest.
Its level says nothing across images or models. A map without contrast (constant, no gradient, nothing that speaks for the
class) is zero all over.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from lesionkit.learning.backbones import Backbone, backbone
from lesionkit.learning.batches import normalise, to_float

FLAT = 1e-5  # a range below this share of the highest value is rounding, not contrast

# Positions a side that a map needs. Measured at 64 px on phantoms whose lesions cover 0.22 of the frame, as the share of
# energy inside the lesion: ResNet-50 trained from scratch 0.54 with 8 positions, 0.41 with 4, 0.22 with 2 (chance);
# DenseNet-121 0.50, 0.36, 0.23. Sides of 80 px and more are read at a stride of 16, 160 and more at the customary 32.
FEWEST_POSITIONS = 5


def grad_cam(model: nn.Module, config: Mapping[str, Any], images: np.ndarray, targets: Sequence[int] | None = None,
             batch_size: int = 32) -> np.ndarray:  # fmt: skip
    """Maps (n, H, W), float32 in [0, 1], of uint8 RGB images (n, H, W, 3): where the evidence for `targets` lies.

    `model` and `config` as from `inference.load`; config gives backbone, normalisation and classes. `targets` are n class
    numbers; None takes for each image the class that the model calls. Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74.
    Raises ValueError for images or targets of another kind, and for a network without a layer of positions.
    """
    targets = _checked(images, targets, len(config["classes"]))
    if not len(images):
        return np.zeros(images.shape[:3], np.float32)
    layer, stride = cam_layer(model, backbone(config["backbone"]), min(images.shape[1:3]))
    device, (mean, std) = next(model.parameters()).device, config["normalisation"]
    maps = []
    with _as_found(model), _cut_at(layer), torch.enable_grad():
        cam = _AlignedCAM(model, layer, stride)
        try:  # not `with cam`: it swallows IndexError
            with _shielded(layer):
                for i in range(0, len(images), batch_size):
                    x = normalise(to_float(images[i : i + batch_size], device), mean, std)
                    maps.append(cam(x, targets and [ClassifierOutputTarget(k) for k in targets[i : i + batch_size]]))
        finally:
            cam.activations_and_grads.release()
    return np.clip(np.concatenate(maps), 0, 1, dtype=np.float32)


def cam_layer(model: nn.Module, record: Backbone, size: int) -> tuple[nn.Module, int]:
    """The module that Grad-CAM reads when the image's shorter side is `size` px, and its stride in px.

    It is the record's own, customary layer where that has FEWEST_POSITIONS a side, as at 224 px. On smaller images it is
    the end of the deepest stage that has them, or as many as any stage has: the deeper, the more its features are about
    classes. A plain vision transformer has the same positions at any depth and is always read at the record's layer.
    Raises ValueError where the network has no such module.
    """
    name, stride = record.cam, record.stride
    stages = [(stage["module"], stage["reduction"]) for stage in getattr(model, "feature_info", None) or ()]
    wanted = min(FEWEST_POSITIONS, max((size // reduction for _, reduction in stages), default=0))
    if size // stride < wanted:
        name, stride = [stage for stage in stages if size // stage[1] >= wanted][-1]
    module = dict(model.named_modules()).get(name)
    if not name or module is None:
        raise ValueError(
            f"{record.name} has no module {name!r} for Grad-CAM: give it a line in BACKBONES that names one"
        )
    return module, stride


def ensemble_map(maps: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    """The members' maps (m, n, H, W) averaged by `weights` (m,), each image's stretched to [0, 1] again: (n, H, W).

    None weighs all the same, as the mean ensemble does. Raises ValueError for weights that are not m numbers of at least
    0, not all 0.
    """
    maps = np.asarray(maps)
    shares = np.ones(len(maps)) if weights is None else np.asarray(weights, float)
    if maps.ndim != 4 or shares.shape != maps.shape[:1] or not (shares >= 0).all() or not shares.any():
        raise ValueError(f"maps {maps.shape} with weights {weights}: give maps (members, images, H, W) and a weight of 0 or "
                         "more to each member, one of them above 0")  # fmt: skip
    mean = np.tensordot(shares / shares.sum(), maps, 1)
    low, high = mean.min((1, 2), keepdims=True), mean.max((1, 2), keepdims=True)
    contrast = high - low > FLAT * high
    return np.where(contrast, (mean - low) / np.where(contrast, high - low, 1), 0).astype(np.float32)


class _AlignedCAM(GradCAM):
    """The package's Grad-CAM with the map laid where the positions are, and with a defined answer where it is flat."""

    def __init__(self, model: nn.Module, layer: nn.Module, stride: int):
        super().__init__(model, [layer], self._as_grid)
        self.stride, self.prefix = stride, getattr(model, "num_prefix_tokens", 0)

    def forward(self, input_tensor: Tensor, *arguments: Any) -> np.ndarray:
        self.frame = tuple(input_tensor.shape[2:])  # H, W
        maps = super().forward(input_tensor, *arguments)
        unseen = [frame - seen for frame, seen in zip(self.frame, maps.shape[1:], strict=True)]
        return np.pad(maps, [(0, 0), (0, unseen[0]), (0, unseen[1])], mode="edge")

    def get_cam_image(self, *arguments: Any) -> np.ndarray:
        """The coarse maps (B, h, w), at least 0, scaled to a maximum of 1: the package's scaling is absolute to 1e-7."""
        maps = np.maximum(super().get_cam_image(*arguments), 0)
        high, low = maps.max((1, 2), keepdims=True), maps.min((1, 2), keepdims=True)
        contrast = high - low > FLAT * high
        return np.where(contrast, maps / np.where(contrast, high, 1), 0)

    def get_target_width_height(self, input_tensor: Tensor) -> tuple[int, int]:
        """The part of the frame that the positions tile. Strided windows that do not fit in drop the last rows and columns
        (a ViT with patches of 16 px sees 80 of 84), and stretching the map over these would shift it.

        Positions tile the frame, as is customary. A padded 3x3 window of stride 2 has its centre half a pixel to the top
        left of its tile, so an untrained ResNet's positions see up to half a tile away from where they are drawn; training
        on mirrored images, for which only tiles are symmetric, tends to take that back.
        """
        grid = self.activations_and_grads.activations[0].shape[2:]
        tiled = [
            n * self.stride if n == side // self.stride else side for n, side in zip(grid, self.frame, strict=True)
        ]
        return tiled[1], tiled[0]

    def _as_grid(self, features: Tensor) -> Tensor:
        """Any layer's output as (B, C, h, w): from tokens (B, prefix + h w, C), from NHWC, or as it is."""
        sizes = [
            tuple(side // self.stride for side in self.frame),
            tuple(-(-side // self.stride) for side in self.frame),
        ]
        if features.ndim == 3:
            for h, w in sizes:
                for prefix in {self.prefix, 0}:
                    if features.shape[1] == prefix + h * w:
                        return features[:, prefix:].transpose(1, 2).unflatten(2, (h, w))
        elif features.ndim == 4:
            return features.permute(0, 3, 1, 2) if tuple(features.shape[1:3]) in sizes else features
        raise ValueError(f"a layer's output of shape {tuple(features.shape)} is no map of a {self.frame} image at a stride of "
                         f"{self.stride} px: give the backbone a line in BACKBONES that names another layer")  # fmt: skip


@contextmanager
def _as_found(model: nn.Module) -> Iterator[None]:
    """Inside, nothing but the layer's output collects gradients; after, modes, gradients and flags are as before."""
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    try:
        model.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for p, requires_grad, grad in parameters:
            p.requires_grad_(requires_grad).grad = grad


@contextmanager
def _cut_at(layer: nn.Module) -> Iterator[None]:
    """The backward pass ends at the layer's output, so that what lies before it costs a forward pass alone."""
    handle = layer.register_forward_hook(lambda module, inputs, output: output.detach().requires_grad_())
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _shielded(layer: nn.Module) -> Iterator[None]:
    """What follows gets a copy: an activation that works in place would overwrite the recorded map."""
    handle = layer.register_forward_hook(lambda module, inputs, output: output.clone())
    try:
        yield
    finally:
        handle.remove()


def _checked(images: np.ndarray, targets: Sequence[int] | None, classes: int) -> list[int] | None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are {images.dtype} {images.shape}: give uint8 (n, H, W, 3)")
    if targets is None:
        return None
    targets = [int(k) for k in targets]
    if len(targets) != len(images) or not all(0 <= k < classes for k in targets):
        raise ValueError(
            f"{len(targets)} targets {targets[:5]} for {len(images)} images: give each one, 0 to {classes - 1}"
        )
    return targets
