"""Networks that look where they were told to, and images that show it."""

import numpy as np
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lesionkit.data.records import CLASSES
from lesionkit.learning.augmentation import normalise, to_float
from lesionkit.learning.backbones import normalisation
from lesionkit.learning.networks import build

PLANTED = CLASSES.index("bkl")


def config(name):
    return {"backbone": name, "normalisation": normalisation(name), "classes": list(CLASSES)}


def network(name, h, w):
    """The untrained network for images of h x w px, in evaluation mode."""
    torch.manual_seed(0)
    try:  # positions are fixed when it is built
        return timm.create_model(name, num_classes=len(CLASSES), img_size=(h, w)).eval()
    except (TypeError, RuntimeError):  # it takes images of any size, or timm does not know it
        return build(name, h)[0].eval()


def corner_images(h, w, seed=0):
    """One image of noise five times, but for a striped patch top left, top right, bottom left, bottom right; none."""
    images = np.random.default_rng(seed).normal(128, 10, (1, h, w, 3)).repeat(5, 0)
    a, b = h // 3, w // 3
    stripes = np.where((np.arange(b) // 4 % 2)[None, :, None], [250, 20, 20], [250, 220, 20])
    for image, (top, left) in zip(images[:4], [(0, 0), (0, w - b), (h - a, 0), (h - a, w - b)], strict=True):
        image[top : top + a, left : left + b] = stripes
    return images.clip(0, 255).astype(np.uint8)


def settled(name, h, w):
    """The network and corner images for it, whose batch normalisation has seen them: untrained, it may let noise grow.

    Its classifier is drawn anew, since some families start with zeros.
    """
    model, images = network(name, h, w), corner_images(h, w)
    for parameter in model.parameters():
        if parameter.ndim == 2 and len(parameter) == len(CLASSES):
            nn.init.normal_(parameter)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model(seen(name, images))
    return model.eval(), images


def seen(name, images):
    return normalise(to_float(images), *normalisation(name))


def plant(model, name, images):
    """Have the classifier call PLANTED what pooled features with the patch have that those without it have not.

    In a vision transformer the class token could have heard of the patch in any block, and maps are read in the last:
    the earlier blocks pass the tokens on as they are.
    """
    for block in list(getattr(model, "blocks", []))[:-1] if hasattr(model, "cls_token") else []:
        for layer in (block.attn.proj, block.mlp.fc2):
            nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    head, heard = model.get_classifier(), {}
    handle = head.register_forward_pre_hook(lambda module, inputs: heard.update(features=inputs[0]))
    with torch.no_grad():
        model(seen(name, images))
        handle.remove()
        with_patch, without = heard["features"][:4].mean(0), heard["features"][4]
        apart = with_patch - (with_patch @ without) / (without @ without) * without
        head.weight[PLANTED] = apart / apart.norm()


def quarters(maps):
    """The share of each map's energy in its four quarters (n, 4), in the order of `corner_images`."""
    n, h, w = maps.shape
    sums = maps.reshape(n, 2, h // 2, 2, w // 2).sum((2, 4)).reshape(n, 4)
    return sums / sums.sum(1, keepdims=True)
