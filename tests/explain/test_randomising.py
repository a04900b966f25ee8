"""A random network fits its own activations, and its layers replace a trained one's from the classifier to the input."""

from itertools import islice

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from lesionkit.data.records import CLASSES
from lesionkit.explain.randomising import layer_groups, randomised, twin
from lesionkit.learning.augmentation import normalise, to_float
from lesionkit.learning.backbones import BACKBONES, normalisation
from lesionkit.learning.networks import build

SIZE = 64
SMALL = ("baseline_cnn", "test_vit", "test_convnext", "test_efficientnet", "test_resnet")


def config(name, size=SIZE):
    study = {"size": size, "threads": 0, "seed": 0}
    return {"backbone": name, "normalisation": normalisation(name), "classes": list(CLASSES), "study": study}


def images(n=6, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def trained(name):
    """A network of which no number is as it was built."""
    torch.manual_seed(0)
    model = build(name, SIZE)[0].eval()
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(7 if not value.is_floating_point() else 0.1 * torch.randn_like(value).abs())
    return model


def state(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def same(a, b):
    return {key: torch.equal(value, b[key]) for key, value in a.items()}


def test_a_twin_follows_from_its_seed_alone_and_is_no_start_of_a_training():
    model, x = trained("baseline_cnn"), images()
    before = torch.get_rng_state()
    first, again, other = (state(twin(model, config("baseline_cnn"), x, seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(same(first, again).values())
    torch.manual_seed(0)
    started = build("baseline_cnn", SIZE)[0].state_dict()
    for weights in (key for key, value in started.items() if value.ndim > 1):
        assert not torch.equal(first[weights], started[weights]) and not torch.equal(first[weights], other[weights])


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mixer_s32_224", "test_vit"])
def test_in_a_twin_no_branch_is_switched_off(name):
    model = build(name, SIZE)[0].eval()
    begins = [key for key, value in model.named_parameters() if not key.endswith("bias") and value.abs().max() < 1e-3]
    assert begins or name == "test_vit"
    fresh = twin(model, config(name), images())
    for key, value in fresh.named_parameters():
        assert key.endswith("bias") or "cls_token" in key or value.abs().max() > 1e-3, key
    x = normalise(to_float(images()), *config(name)["normalisation"])
    assert fresh(x).std(dim=0).max() > 1e-3  # a logit depends on the image


def test_a_twin_is_ready_to_be_read():
    model = trained("baseline_cnn")
    fresh = twin(model, config("baseline_cnn"), images())
    assert not any(module.training for module in fresh.modules())
    assert not any(parameter.requires_grad for parameter in fresh.parameters())
    assert {norm.momentum for norm in fresh.modules() if isinstance(norm, nn.BatchNorm2d)} == {0.1}


def test_batch_statistics_are_those_of_the_activations():
    x = images(5)
    fresh = twin(trained("baseline_cnn"), config("baseline_cnn"), x)
    convolution, norm = fresh.features[0][0], fresh.features[0][1]
    heard = F.conv2d(normalise(to_float(x), *config("baseline_cnn")["normalisation"]), convolution.weight, padding=1)
    assert torch.allclose(norm.running_mean, heard.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, heard.var((0, 2, 3)), rtol=1e-4)
    with torch.no_grad():
        out = fresh.features(normalise(to_float(x), *config("baseline_cnn")["normalisation"]))
    assert 0.1 < out.std() < 10  # neither vanished nor exploded


@pytest.mark.parametrize("name", SMALL)
def test_first_the_classifier_is_the_twins_at_the_end_all_and_the_model_is_as_it_was(name):
    model, x = trained(name), images()
    before, fresh = state(model), twin(model, config(name), x)
    stages = [(label, share, state(mixed)) for label, share, mixed in randomised(model, fresh, config(name), x, 4)]
    assert all(same(before, model.state_dict()).values()) and not any(model._forward_hooks)
    heads = {f"{key}.{part}" for key, module in model.named_modules() if module is model.get_classifier()
             for part in ("weight", "bias")}  # fmt: skip
    label, _, first = stages[0]
    assert label == "classifier" and {key for key, equal in same(before, first).items() if not equal} == heads
    assert all(torch.equal(first[key], fresh.state_dict()[key]) for key in heads)
    last, ends = stages[-1][2], fresh.state_dict()
    summed = {key for key in last if key.endswith(("running_mean", "running_var"))}  # again, on some processors in another order
    assert all(equal for key, equal in same(last, ends).items() if key not in summed)
    assert all(torch.allclose(last[key], ends[key], rtol=1e-4, atol=1e-6) for key in summed)
    assert not any(same(before, last).values())
    shares = [share for _, share, _ in stages]
    assert shares == sorted(shares) and 0 < shares[0] < 0.2 and shares[-1] == pytest.approx(1)


def test_statistics_of_random_layers_fit_what_the_trained_ones_before_them_say():
    model, x = trained("baseline_cnn"), images()
    fresh = twin(model, config("baseline_cnn"), x)
    *_, (label, _, mixed) = islice(randomised(model, fresh, config("baseline_cnn"), x), 2)
    assert label == "features.9"
    random, before = mixed.features[9], mixed.features[8]
    with torch.no_grad():
        heard = mixed.features[:9](normalise(to_float(x), *config("baseline_cnn")["normalisation"]))
        found = random[0](heard).mean((0, 2, 3))
    assert torch.equal(random[0].weight, fresh.features[9][0].weight)
    assert torch.allclose(random[1].running_mean, found, atol=1e-4)
    assert not torch.allclose(random[1].running_mean, fresh.features[9][1].running_mean, atol=1e-4)
    assert torch.equal(before[1].running_mean, model.features[8][1].running_mean)


@pytest.mark.parametrize("name", [*BACKBONES, *SMALL[1:], "deit_tiny_distilled_patch16_224"])
def test_groups_hold_every_layer_once_from_the_classifier_to_the_input(name):
    model = unbuilt(name)
    groups = layer_groups(model)
    listed = [module for _, modules in groups for module in modules]
    holders = [key for key, module in model.named_modules()
               if [*module.parameters(recurse=False), *module.buffers(recurse=False)]]  # fmt: skip
    assert sorted(listed) == sorted(holders) and len(set(listed)) == len(listed)
    labels, sizes = zip(*((label, len(modules)) for label, modules in groups))
    assert labels[0] == "classifier" and len(set(labels)) == len(labels) and all(labels)
    body = np.array(sizes[1:])
    assert body.min() >= 1 and body.max() <= 2.2 * body.mean()
    order = [holders.index(module) for _, modules in groups[1:] for module in modules[:1]]
    assert order == sorted(order, reverse=True)


def unbuilt(name):
    """Its modules without their numbers."""
    if name == "baseline_cnn":
        return build(name, SIZE)[0]
    with torch.device("meta"):
        return timm.create_model(name, num_classes=len(CLASSES))


def test_groups_have_readable_names():
    names = {name: [label for label, _ in layer_groups(unbuilt(name))] for name in ("resnet50", "vit_base_patch16_224")}
    assert names["resnet50"] == ["classifier", "layer4", "layer3.2–5", "layer3.0–1", "layer2", "conv1–layer1"]
    first, *others = reversed(names["vit_base_patch16_224"])
    assert first == "patch_embed.proj–blocks.1"
    assert others == ["blocks.2–4", "blocks.5–6", "blocks.7–9", "blocks.10–norm", "classifier"]


def test_a_small_model_has_fewer_groups_and_one_group_is_refused():
    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.first, self.head = nn.Linear(3, 3), nn.Linear(3, 7)

        def get_classifier(self):
            return self.head

    assert layer_groups(Tiny(), 6) == [("classifier", ["head"]), ("first", ["first"]), ("input", [""])]
    with pytest.raises(ValueError, match="2 or more"):
        layer_groups(Tiny(), 1)
