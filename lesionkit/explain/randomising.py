"""Random networks like a trained one: a fresh one, and the trained one with ever more of its layers from it."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lesionkit.explain.layers import as_found
from lesionkit.learning import networks
from lesionkit.learning.augmentation import normalise, to_float

MOST_FITTED = 64  # images that batch statistics are taken from
ASLEEP = 1e-3  # of a scale: what a branch says is lost beside what goes past it


def twin(model: nn.Module, config: Mapping[str, Any], images: np.ndarray, seed: int = 0) -> nn.Module:
    """A random network of the same kind, in evaluation mode, on the model's device, its batch statistics of `images`.

    model and config: as of `inference.load`; images: uint8 RGB (n, s, s, 3). The weights are drawn as for a training,
    but are not those that the model's own began with, which its trained ones may still resemble: the seed is set apart
    from training's. What a training begins with switched off is on (`_awake`). No random state outside is touched. One
    forward pass where there is batch normalisation.
    """
    apart = int(np.random.SeedSequence([seed, 1810]).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(apart)  # networks are built on the CPU
        fresh = _awake(networks.build(config["backbone"], config["study"]["size"])[0])
    device = next(model.parameters()).device
    fresh = fresh.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    _fit_statistics(fresh, fresh.modules(), config, images)
    return fresh


def randomised(model: nn.Module, fresh: nn.Module, config: Mapping[str, Any], images: np.ndarray,
               groups: int = 6) -> Iterator[tuple[str, float, nn.Module]]:  # fmt: skip
    """After each of `layer_groups`: its name, the share of parameters that are `fresh`'s by now, and the network.

    The network is a copy of the model, in evaluation mode, the same object each time; batch statistics of random
    layers are taken anew, of what now reaches them. At the end its state is that of `twin`.
    """
    mixed = copy.deepcopy(model).eval()
    ours, theirs, ready = dict(mixed.named_modules()), dict(fresh.named_modules()), []
    total = sum(parameter.numel() for parameter in model.parameters())
    for name, modules in layer_groups(model, groups):
        with torch.no_grad():
            for module in modules:
                for key, value in _own(ours[module]).items():
                    value.copy_(_own(theirs[module])[key])
        ready += modules
        _fit_statistics(mixed, [ours[module] for module in ready], config, images)
        yield name, sum(p.numel() for module in ready for p in ours[module].parameters(recurse=False)) / total, mixed


def layer_groups(model: nn.Module, count: int = 6) -> list[tuple[str, list[str]]]:
    """The modules with parameters or buffers of their own, in `count` groups from the classifier to the input.

    A group is its name, such as "layer4", and its modules' names. The first is the classifier, alone; the others have
    about equally many modules, in the model's own order, but a cut moves by up to a third of a group to the end of a
    stage or of a block. A small model has fewer groups. Raises ValueError for a count below 2.
    """
    if count < 2:
        raise ValueError(f"{count} groups: give 2 or more, the classifier and what lies before it")
    modules = {name: module for name, module in model.named_modules() if _own(module)}
    heads = model.get_classifier()  # two in a distilled transformer
    inside = {id(module) for module in nn.ModuleList(heads if isinstance(heads, tuple) else [heads]).modules()}
    head = [name for name, module in modules.items() if id(module) in inside]
    body = [name for name, module in modules.items() if id(module) not in inside]
    cuts = [0, *_cuts(body, count - 1), len(body)]
    parts = [body[a:b] for a, b in zip(cuts, cuts[1:])]
    return [("classifier", head), *((_label(part, body), part) for part in reversed(parts))]


def _awake(network: nn.Module) -> nn.Module:
    """The network, with scales that begin near 0 at 1, and matrices that begin as 0 drawn like a transformer's.

    A training may begin with residual branches switched off (ResNet's last batch normalisations, ConvNeXt's layer
    scales), or with a classifier of zeros (MLP-Mixer). Most weights of such a network have no say, or no logit depends
    on the image: its maps would be another thing's than a random network's.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1 and not name.endswith("bias") and parameter.abs().max() < ASLEEP:
                parameter.fill_(1)
            elif parameter.ndim > 1 and not parameter.any():
                nn.init.trunc_normal_(parameter, std=0.02)
    return network


def _fit_statistics(network: nn.Module, modules: Iterable[nn.Module], config: Mapping[str, Any],
                    images: np.ndarray) -> None:  # fmt: skip
    """Give the batch normalisations among `modules` the statistics of the activations that reach them."""
    norms = [module for module in modules if isinstance(module, _BatchNorm)]
    if not norms:
        return
    spread = np.linspace(0, len(images) - 1, min(len(images), MOST_FITTED)).astype(int)
    x = normalise(to_float(images[spread], next(network.parameters()).device), *config["normalisation"])
    momenta = [norm.momentum for norm in norms]
    try:
        with as_found(network), torch.no_grad():
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum, norm.training = 1.0, True  # dropout stays off
            network(x)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum


def _own(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a module that belong to none of its children."""
    return {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}


def _cuts(names: Sequence[str], count: int) -> list[int]:
    """Where to part `names` into `count`: near equal parts, where two neighbours share the least of their path."""
    size, cuts = len(names) / count, set()
    for wanted in (k * size for k in range(1, count)):
        near = [cut for cut in range(1, len(names)) if abs(cut - wanted) <= max(size / 3, 0.5)]
        cuts |= set(sorted(near, key=lambda cut: (_shared(names[cut - 1], names[cut]), abs(cut - wanted)))[:1])
    return sorted(cuts)


def _shared(a: str, b: str) -> int:
    """How many parts of their dotted paths two modules share, from the left."""
    pairs = list(zip(a.split("."), b.split(".")))
    return next((i for i, (x, y) in enumerate(pairs) if x != y), len(pairs))


def _label(part: Sequence[str], names: Sequence[str]) -> str:
    """The path that holds this part of `names` and nothing else, or its first and its last block."""
    named = [name for name in part if name] or ["input"]  # what the model itself holds has no name
    first, last = named[0], named[-1]
    depth = _shared(first, last)
    common = ".".join(last.split(".")[:depth])
    if first == last or (common and sum(f"{name}.".startswith(f"{common}.") for name in names) == len(part)):
        return common
    return f"{_block(first, 0, depth)}–{_block(last, depth, depth)}"


def _block(name: str, start: int, depth: int) -> str:
    """A path from part `start`, cut after the first part from `depth` on that has a number."""
    parts = name.split(".")
    end = next((i for i in range(depth, len(parts)) if any(map(str.isdigit, parts[i]))), len(parts) - 1)
    return ".".join(parts[start : end + 1])
