"""The backbones: a line each. Any other timm name works too. `networks.py` builds them."""

from dataclasses import dataclass

import timm
import torch

CLASS_ATTENTION = ("blocks_token_only", "cls_attn_blocks", "post_network")  # where CaiT, XCiT and VOLO hear of patches


@dataclass(frozen=True)
class Backbone:
    """What a backbone needs to be told; everything else is timm's to know."""

    name: str  # the timm name, or `baseline_cnn`
    cam: str  # the module whose output maps are read from: the last one with positions
    stride: int = 32  # image pixels from one of its positions to the next


BACKBONES = {
    b.name: b
    for b in (
        Backbone("baseline_cnn", cam="features.9", stride=8),
        Backbone("resnet50", cam="layer4"),
        Backbone("densenet121", cam="features.norm5"),
        Backbone("efficientnet_b3", cam="bn2"),
        Backbone("convnext_tiny", cam="stages.3"),
        Backbone("mobilenetv3_large_100", cam="blocks.6"),
        Backbone("vit_base_patch16_224", cam="blocks.11.norm1", stride=16),
    )
}


def backbone(name: str) -> Backbone:
    """The record of `name`; for a timm name without one, maps are read at timm's last feature stage.

    Raises ValueError with close names where timm does not know it.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if not timm.is_model(name.split(".")[0]):
        close = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise ValueError(f"no backbone {name!r}: use one of {', '.join(BACKBONES)}, or a timm name such as {close}")
    with torch.device("meta"):
        model = timm.create_model(name)
    stage = (getattr(model, "feature_info", None) or [{}])[-1]
    cam, stride = stage.get("module", ""), stage.get("reduction", 32)
    if getattr(model, "global_pool", "") == "token" and not any(hasattr(model, layers) for layers in CLASS_ATTENTION):
        norms = [key for key, _ in model.named_modules() if key.startswith(f"{cam}.") and key.endswith(".norm1")]
        cam = [cam, *norms][-1]  # after the last block, patches no longer matter: the class token has heard of them
    return Backbone(name, cam, stride)


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of RGB in [0, 1] that the backbone's pretrained weights expect."""
    if name == "baseline_cnn":
        return (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    config = timm.get_pretrained_cfg(name)
    return tuple(config.mean), tuple(config.std)
