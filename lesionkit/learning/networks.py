"""The networks: built, given their initial weights, and parted into groups that learn at different rates."""

import math
from pathlib import Path

import timm
from torch import nn

from lesionkit.data.records import CLASSES
from lesionkit.learning.backbones import backbone
from lesionkit.learning.baseline import BaselineCNN


class WeightsError(RuntimeError):
    """Weights that were asked for cannot be had. The message says what to do."""


def build(name: str, size: int, weights: str = "none", *, weights_dir: str = "", drop_rate: float = 0.0,
          drop_path_rate: float = 0.0) -> tuple[nn.Module, str]:  # fmt: skip
    """The network for images of `size` px and seven classes, and which weights it got: imagenet, none, or a file's name.

    `weights` is imagenet, none, a folder of .safetensors under timm's names, or auto: the first of timm's hub,
    `weights_dir` and none that can be had. Raises WeightsError where what was asked for cannot be had.
    """
    backbone(name)  # an unknown name stops here
    if name == "baseline_cnn":  # has no published weights: `none` whatever was asked for
        return BaselineCNN(len(CLASSES), drop_rate), "none"
    source, used = initial_weights(name, weights, weights_dir)
    options = {"num_classes": len(CLASSES), "drop_rate": drop_rate, **source}
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        options["img_size"] = size  # position embeddings are resampled to it
    with_depth = {"drop_path_rate": drop_path_rate} if drop_path_rate else {}
    try:
        model = timm.create_model(name, **options, **with_depth)
    except TypeError:  # a family without stochastic depth (DenseNet)
        model = timm.create_model(name, **options)
    _calm(model.get_classifier())
    return model, used


def _calm(classifier: nn.Module) -> None:
    """Give the classifier PyTorch's own initial weights where timm's are larger.

    EfficientNet and MobileNetV3 draw them from ±1/sqrt(classes), fit for 1,000 classes: with seven, the first logits lie
    so far apart that the loss starts at 5 rather than at log 7 = 1.9, and the first epochs are spent on undoing it.
    """
    if isinstance(classifier, nn.Linear) and classifier.weight.abs().max() > 2 / math.sqrt(classifier.in_features):
        classifier.reset_parameters()


def initial_weights(name: str, weights: str, weights_dir: str) -> tuple[dict, str]:
    """Arguments for timm that load what the study asks for, and its name. Raises WeightsError where it cannot be had."""
    if weights == "none":
        return {}, "none"
    if weights == "imagenet" or (weights == "auto" and hub_reachable(name)):
        if not hub_reachable(name):
            raise WeightsError(
                f"the ImageNet weights of {name} cannot be downloaded: connect to the network, or give a folder with "
                f"{name}.safetensors (--set weights=DIR), or train from scratch (--set weights=none)"
            )
        return {"pretrained": True}, "imagenet"
    if file := weights_file(name, weights, weights_dir):
        return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}, file.name
    if weights == "auto":
        return {}, "none"
    raise WeightsError(f"no {name}.safetensors in {Path(weights).resolve()}: put it there, or use --set weights=none")


def weights_file(name: str, weights: str, weights_dir: str) -> Path | None:
    """The .safetensors of the backbone in the folder that the study names, if there is one."""
    folder = weights_dir if weights == "auto" else "" if weights in ("imagenet", "none") else weights
    if not folder or name == "baseline_cnn":
        return None
    files = sorted([*Path(folder).glob(f"{name}.safetensors"), *Path(folder).glob(f"{name}.*.safetensors")])
    return files[0] if files else None


def hub_reachable(name: str) -> bool:
    """Whether timm's hub, or a copy of the weights in the local cache, answers within three seconds."""
    import requests
    from huggingface_hub import constants, try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    repo = getattr(config, "hf_hub_id", None)
    if repo and isinstance(try_to_load_from_cache(repo, "model.safetensors"), str):
        return True
    if constants.HF_HUB_OFFLINE or not repo:
        return False
    try:
        return requests.head(f"{constants.ENDPOINT}/{repo}", timeout=3, allow_redirects=True).ok
    except requests.RequestException:
        return False


def parameter_groups(model: nn.Module, pretrained: bool) -> list[list[nn.Parameter]]:
    """Trainable parameters as [lower, upper, head]: the halves of the body in depth, then the classifier.

    One group alone where nothing is pretrained, since then nothing is worth freezing.
    """
    if not pretrained:
        return [list(model.parameters())]
    head = {id(p) for p in model.get_classifier().parameters()}
    depths = timm.models.group_parameters(model, model.group_matcher(coarse=True))  # depth -> parameter names
    named = dict(model.named_parameters())
    middle = math.ceil(len(depths) / 2)
    groups: list[list[nn.Parameter]] = [[], [], []]
    for i, (_, names) in enumerate(sorted(depths.items())):
        for parameter in (named[n] for n in names):
            groups[2 if id(parameter) in head else int(i >= middle)].append(parameter)
    return groups
