"""Which layer of a network a map is read from, and where on the image that layer's positions lie."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import numpy as np
from torch import Tensor, nn

from lesionkit.learning.backbones import Backbone

# Positions a side that a map needs. Measured at 64 px on phantoms whose lesions cover 0.22 of the frame, as the share
# of energy inside the lesion: ResNet-50 trained from scratch 0.54 with 8 positions, 0.41 with 4, 0.22 with 2 (chance);
# DenseNet-121 0.50, 0.36, 0.23. Sides of 80 px and more are read at a stride of 16, 160 and more at the customary 32.
FEWEST_POSITIONS = 5


def cam_layer(model: nn.Module, record: Backbone, size: int) -> tuple[nn.Module, int]:
    """The module that a map is read from when the image's shorter side is `size` px, and its stride in px.

    It is the record's own, customary layer where that has FEWEST_POSITIONS a side, as at 224 px. On smaller images it
    is the end of the deepest stage that has them, or as many as any stage has: the deeper, the more its features are
    about classes. A plain vision transformer has the same positions at any depth: it is read at the record's layer.
    Raises ValueError where the network has no such module.
    """
    name, stride = record.cam, record.stride
    modules = dict(model.named_modules())
    stages = [(stage["module"], stage["reduction"]) for stage in getattr(model, "feature_info", None) or ()
              if stage["module"] in modules]
    if hasattr(model, "reroll"):  # timm's Hiera: its tokens are shuffled until the last stage
        stages = stages[-1:]
    wanted = min(FEWEST_POSITIONS, max((size // reduction for _, reduction in stages), default=0))
    if size // stride < wanted:
        name, stride = [stage for stage in stages if size // stage[1] >= wanted][-1]
    module = modules.get(name)
    if not name or module is None:
        raise ValueError(
            f"{record.name} has no module {name!r} to read a map from: give it a line in BACKBONES that names one"
        )
    return module, stride


def as_grid(features: Tensor, images: Sequence[int], stride: int, prefix: int = 0) -> Tensor:
    """A layer's output for images (B, 3, H, W) as (B, C, h, w): from tokens (B, prefix + h w, C), from NHWC, or as is.

    Raises ValueError where it is none of these.
    """
    sizes = [tuple(side // stride for side in images[2:]), tuple(-(-side // stride) for side in images[2:])]
    if features.ndim == 3 and len(features) == images[0]:
        for skipped, (h, w) in product(dict.fromkeys((prefix, 0, 1, 2)), sizes):
            if features.shape[1] == skipped + h * w:
                return features[:, skipped:].transpose(1, 2).unflatten(2, (h, w))
    if features.ndim == 4 and len(features) == images[0]:
        if tuple(features.shape[1:3]) in sizes and tuple(features.shape[2:]) not in sizes:
            return features.permute(0, 3, 1, 2)
        if all(n <= most + 1 for n, most in zip(features.shape[2:], sizes[1], strict=True)):
            return features  # fewer where nothing is padded, one more where windows of an even number are filled up
    raise ValueError(
        f"a layer's output of shape {tuple(features.shape)} is no map of images {tuple(images)} at a stride of "
        f"{stride} px: give the backbone a line in BACKBONES that names another layer"
    )


def on_image(maps: np.ndarray, frame: tuple[int, int], stride: int) -> np.ndarray:
    """Maps of positions (..., h, w) as maps of the frame's pixels (..., H, W): linear between the positions' centres.

    Positions are tiles of `stride` px from the top left of the frame. Where padding adds one to those that fit in, all
    are smaller; where there is no padding and they are fewer, they lie about the middle. Beyond the outermost centres a
    map goes on as it is there: a ViT with patches of 16 px sees 80 of 84, and stretching its map would shift it.
    """
    rows, columns = (_between(n, side, stride) for n, side in zip(maps.shape[-2:], frame, strict=True))
    return rows @ maps @ columns.T


# A padded 3x3 window of stride 2 has its centre half a pixel to the top left of its tile, the next one a whole pixel:
# what a position of an untrained ResNet sees lies about a point 3.5 px off at a stride of 8, 15.5 px at 32 (Alsallakh
# et al. 2021, Mind the Pad, arXiv:2010.02178). Maps are not moved for it, as training on mirrored images, for which
# only tiles are symmetric, takes it back to an unlike degree. Measured as the correlation of the map of an image with
# that of its mirror image (left to right), turned back, highest where maps lie right: with tiles, and with positions
# where the padding puts them. EfficientNet-Lite0 trained on ImageNet, 224 px, stride 32: 0.95, 0.60. Trained on
# phantoms from scratch for 3 epochs, 64 px, stride 8: ResNet-50 0.65, 0.86; DenseNet-121 0.67, 0.62; MobileNetV3 0.13,
# 0.11. The share of energy inside the lesion in the same three: 0.476, 0.496; 0.425, 0.420; 0.240, 0.239.
def _between(positions: int, side: int, stride: int) -> np.ndarray:
    """What each position has to say on each pixel of a side, (side, positions); the shares of a pixel add up to 1."""
    tile = min(stride, side / positions)
    start = 0 if positions == side // stride else (side - positions * tile) / 2
    at = np.clip((np.arange(side) + 0.5 - start) / tile - 0.5, 0, positions - 1)  # in positions
    return np.maximum(1 - np.abs(at[:, None] - np.arange(positions)), 0).astype(np.float32)


@contextmanager
def recorded(layer: nn.Module, gradients: bool) -> Iterator[list[Tensor]]:
    """Inside, the layer's outputs are listed, and a backward pass ends at them: what lies before costs a forward pass.

    What follows the layer gets a copy: an activation that works in place would overwrite what was recorded.
    """
    outputs: list[Tensor] = []

    def record(module: nn.Module, inputs: tuple, output: Tensor | Sequence) -> Tensor | Sequence:
        outputs.append(_features(output).detach().requires_grad_(gradients))
        copy = outputs[-1].clone()
        return copy if output is _features(output) else type(output)((copy, *output[1:]))

    handle = layer.register_forward_hook(record)
    try:
        yield outputs
    finally:
        handle.remove()


def _features(output: Tensor | Sequence) -> Tensor:
    """What a module says: the first where it says several things, as timm takes it."""
    return output if isinstance(output, Tensor) else output[0]


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode and collects no gradients; after, modes and flags are as before."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval().requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
