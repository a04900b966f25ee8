"""Grad-CAM lights what the model looks at, at the right pixels, and leaves the model as it found it."""

from functools import partial

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from lesionkit.data.records import CLASSES
from lesionkit.explain.cams import FEWEST_POSITIONS, cam_layer, ensemble_map, grad_cam
from lesionkit.learning import backbones
from lesionkit.learning.backbones import BACKBONES, Backbone, backbone, normalisation
from lesionkit.learning.batches import normalise, to_float
from lesionkit.learning.networks import build

PLANTED = CLASSES.index("bkl")


def config(name):
    return {"backbone": name, "normalisation": normalisation(name), "classes": list(CLASSES)}


def corner_images(h, w, seed=0):
    """Five images of noise; in the first four a striped patch lies top left, top right, bottom left, bottom right."""
    images = np.random.default_rng(seed).normal(128, 10, (5, h, w, 3))
    a, b = h // 3, w // 3
    stripes = np.where((np.arange(b) // 4 % 2)[None, :, None], [250, 20, 20], [250, 220, 20])
    for image, (top, left) in zip(images[:4], [(0, 0), (0, w - b), (h - a, 0), (h - a, w - b)], strict=True):
        image[top : top + a, left : left + b] = stripes
    return images.clip(0, 255).astype(np.uint8)


def plant(model, name, images):
    """Have the classifier call PLANTED what sets the pooled features of images with the patch apart from one without it.

    In a vision transformer the class token could have heard of the patch in any block, and Grad-CAM reads the last: the
    earlier blocks pass the tokens on as they are.
    """
    for block in list(getattr(model, "blocks", []))[:-1] if hasattr(model, "cls_token") else []:
        for layer in (block.attn.proj, block.mlp.fc2):
            nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    heard = {}
    handle = model.get_classifier().register_forward_pre_hook(lambda module, inputs: heard.update(features=inputs[0]))
    with torch.no_grad():
        model(normalise(to_float(images), *normalisation(name)))
        handle.remove()
        apart = heard["features"][:4].mean(0) - heard["features"][4]
        model.get_classifier().weight[PLANTED] = apart / apart.norm()


def quarters(maps):
    """The share of each map's energy in its four quarters (n, 4), in the order of `corner_images`."""
    n, h, w = maps.shape
    sums = maps.reshape(n, 2, h // 2, 2, w // 2).sum((2, 4)).reshape(n, 4)
    return sums / sums.sum(1, keepdims=True)


def network(name, h, w):
    torch.manual_seed(0)
    if name.startswith(("vit", "swin", "test_vit")):  # positions are fixed when they are built
        return timm.create_model(name, num_classes=len(CLASSES), img_size=(h, w)).eval()
    return build(name, h)[0].eval()


SWIN = "swin_tiny_patch4_window7_224"


@pytest.mark.parametrize("name", [*BACKBONES, SWIN])
def test_evidence_planted_in_a_corner_lights_that_corner(name):
    for h, w in ((64, 64), (84, 84), (64, 96)):
        images = corner_images(h, w)
        model = network(name, h, w)
        plant(model, name, images)
        maps = grad_cam(model, config(name), images[:4], [PLANTED] * 4)
        assert maps.shape == (4, h, w) and maps.dtype == np.float32
        assert maps.min() == 0 and np.allclose(maps.max((1, 2)), 1, atol=1e-6) and maps.max() <= 1
        shares = quarters(maps)
        assert (shares.argmax(1) == np.arange(4)).all() and shares.diagonal().min() > 0.4, (h, w, shares.round(2))


@pytest.mark.parametrize("name, at_64, at_96", [
    ("baseline_cnn", "features.9", "features.9"),
    ("resnet50", "layer2", "layer3"),
    ("densenet121", "features.denseblock2", "features.denseblock3"),
    ("efficientnet_b3", "blocks.2", "blocks.4"),
    ("convnext_tiny", "stages.1", "stages.2"),
    ("mobilenetv3_large_100", "blocks.2", "blocks.4"),
    ("vit_base_patch16_224", "blocks.11.norm1", "blocks.11.norm1"),
    (SWIN, "layers.1", "layers.2"),
    ("levit_128s", "stages.0", "stages.0"),
])  # fmt: skip
def test_small_images_are_read_where_there_are_positions_and_large_ones_at_the_customary_layer(name, at_64, at_96):
    model = build(name, 64)[0] if not name.startswith(("swin", "levit")) else timm.create_model(name)
    read = {size: cam_layer(model, backbone(name), size) for size in (64, 96, 224, 320)}
    names = {module: key for key, module in model.named_modules()}
    assert names[read[64][0]] == at_64 and names[read[96][0]] == at_96
    assert 96 // read[96][1] >= FEWEST_POSITIONS
    customary = 224 if name != "levit_128s" else 320  # whose last stage has a stride of 64
    assert names[read[customary][0]] == backbone(name).cam and read[customary][1] == backbone(name).stride


class Toy(nn.Module):
    """Features are the patches' mean colours, in place through a ReLU; the class's logit is a weighted mean of them."""

    def __init__(self, patch=16):
        super().__init__()
        self.features = nn.Conv2d(3, 3, patch, patch, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(3, 7)
        nn.init.zeros_(self.features.weight)
        for k in range(3):
            nn.init.constant_(self.features.weight[k, k], 1 / patch**2)

    def forward(self, x):
        return self.head(self.act(self.features(x)).mean((2, 3)))


@pytest.fixture()
def toy(monkeypatch):
    def make(**options):
        monkeypatch.setitem(BACKBONES, "toy", Backbone("toy", cam="features", stride=16))
        torch.manual_seed(0)
        return Toy(**options).eval(), {
            "backbone": "toy",
            "normalisation": ((0,) * 3, (1,) * 3),
            "classes": list(CLASSES),
        }

    return make


def blocks(rng, h, w, n=1):
    """Images of 16 px squares of one colour each, and the colours in [0, 1]: (n, h, w, 3)."""
    colours = rng.integers(1, 256, (n, h, w, 3)).astype(np.uint8)
    return colours.repeat(16, 1).repeat(16, 2), torch.from_numpy(colours / 255.0)


def stretched(x):
    return (x - x.min()) / (x.max() - x.min())


def test_the_map_is_the_one_computed_by_hand(toy):
    model, settings = toy()
    images, colours = blocks(np.random.default_rng(0), 4, 5)
    got = grad_cam(model, settings, images, [3])
    weights = model.head.weight[3].detach().double() / 20  # d logit / d feature, the same at each of 20 positions
    coarse = stretched((colours @ weights).clamp(min=0))
    by_hand = F.interpolate(coarse[:, None], (64, 80), mode="bilinear", align_corners=False)[:, 0]
    assert np.allclose(got, stretched(by_hand), atol=1e-5)


def test_a_position_lies_on_its_pixels(toy):
    model, settings = toy()
    nn.init.ones_(model.head.weight)
    images = np.zeros((1, 64, 64, 3), np.uint8)
    images[:, 16:32, 32:48] = 255  # the position in row 1, column 2 of 4 x 4
    heat = grad_cam(model, settings, images, [0])[0]
    total = heat.sum()
    assert heat.sum(1) @ np.arange(64) / total == pytest.approx(23.5, abs=1e-3)
    assert heat.sum(0) @ np.arange(64) / total == pytest.approx(39.5, abs=1e-3)


def test_rows_and_columns_that_no_position_covers_do_not_shift_the_map(toy):
    model, settings = toy()
    images, _ = blocks(np.random.default_rng(1), 5, 5)
    padded = np.pad(images, [(0, 0), (0, 4), (0, 9), (0, 0)])  # 84 x 89: five patches of 16 px fit
    narrow, wide = (grad_cam(model, settings, x, [1])[0] for x in (images, padded))
    assert wide.shape == (84, 89) and np.allclose(wide[:80, :80], narrow, atol=1e-6)
    assert np.array_equal(wide[80:, :80], wide[79:80, :80].repeat(4, 0))


def test_a_map_without_contrast_is_zero(toy):
    model, settings = toy()
    images, _ = blocks(np.random.default_rng(2), 4, 4)
    assert not grad_cam(model, settings, np.full((1, 64, 64, 3), 77, np.uint8), [0]).any()  # constant
    nn.init.constant_(model.head.weight, -1.0)
    assert not grad_cam(model, settings, images, [0]).any()  # nothing speaks for the class
    nn.init.zeros_(model.head.weight)
    assert not grad_cam(model, settings, images, [0]).any()  # no gradient
    nn.init.constant_(model.head.weight, 1e-9)
    assert grad_cam(model, settings, images, [0]).max() == pytest.approx(1)  # but a small gradient is one


def test_batches_do_not_matter_and_no_target_means_the_class_called():
    model, _ = build("mobilenetv3_large_100", 64)
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    explain = partial(grad_cam, model.eval(), config("mobilenetv3_large_100"))
    with torch.no_grad():
        called = model(normalise(to_float(images), *normalisation("mobilenetv3_large_100"))).argmax(1)
    whole = explain(images, called.tolist())
    assert np.allclose(
        whole, np.concatenate([explain(images[i : i + 1], called[i : i + 1]) for i in range(5)]), atol=1e-4
    )
    assert np.allclose(whole, explain(images, batch_size=2), atol=1e-4)
    assert explain(images[:0]).shape == (0, 64, 64)


@pytest.mark.parametrize("name", ["baseline_cnn", "test_vit"])
def test_the_model_is_left_as_it_was(name):
    model = network(name, 64, 64).train()
    list(model.children())[-1].eval()
    first = next(model.parameters()).requires_grad_(False)
    kept = model.get_classifier().weight.grad = torch.ones_like(model.get_classifier().weight)

    def state():
        kinds = ("_forward_hooks", "_backward_hooks", "_forward_pre_hooks", "_backward_pre_hooks")
        return ([(m.training, *(len(getattr(m, kind)) for kind in kinds)) for m in model.modules()],
                [(p.requires_grad, p.grad is None, p._version) for p in model.parameters()])  # fmt: skip

    before, buffers = state(), [b.clone() for b in model.buffers()]
    with torch.no_grad():  # the caller's setting is neither in the way nor lost
        grad_cam(model, config(name), corner_images(64, 64), [0] * 5)
        assert not torch.is_grad_enabled()
    assert state() == before and not first.requires_grad and model.get_classifier().weight.grad is kept
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True)) and bool((kept == 1).all())
    with pytest.raises(RuntimeError):
        grad_cam(model, {**config(name), "normalisation": ((0,) * 2, (1,) * 2)}, corner_images(64, 64), [0] * 5)
    assert state() == before


def test_a_frozen_model_can_be_explained():
    model = network("baseline_cnn", 64, 64)
    images = corner_images(64, 64)
    free = grad_cam(model, config("baseline_cnn"), images)
    assert np.array_equal(free, grad_cam(model.requires_grad_(False), config("baseline_cnn"), images)) and free.any()


@pytest.mark.parametrize("images, targets, message", [
    (np.zeros((2, 64, 64, 3), np.float32), None, "float32"), (np.zeros((64, 64, 3), np.uint8), None, r"uint8 \(n, H, W, 3\)"),
    (np.zeros((2, 64, 64, 3), np.uint8), [1], "1 targets"), (np.zeros((2, 64, 64, 3), np.uint8), [0, 7], "one, 0 to 6"),
])  # fmt: skip
def test_what_cannot_be_explained_is_refused(images, targets, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(network("baseline_cnn", 64, 64), config("baseline_cnn"), images, targets)


def test_a_layer_that_is_no_map_is_refused(toy, monkeypatch):
    model, settings = toy()
    images, _ = blocks(np.random.default_rng(0), 4, 4)
    monkeypatch.setitem(backbones.BACKBONES, "toy", Backbone("toy", cam="head", stride=16))
    with pytest.raises(ValueError, match=r"shape \(1, 7\) is no map.*BACKBONES"):
        grad_cam(model, settings, images)
    monkeypatch.setitem(backbones.BACKBONES, "toy", Backbone("toy", cam="", stride=16))
    with pytest.raises(ValueError, match="no module '' .*BACKBONES"):
        grad_cam(model, settings, images)


def test_the_ensemble_map_by_hand():
    maps = np.array([[[[0.0, 0.5], [1.0, 1.0]]], [[[1.0, 0.5], [0.0, 1.0]]]])  # 2 members, 1 image
    assert np.allclose(ensemble_map(maps), [[[0, 0], [0, 1]]])  # mean .5 .5 .5 1
    assert np.allclose(ensemble_map(maps, [3, 1]), [[[0, 1 / 3], [2 / 3, 1]]])  # mean .25 .5 .75 1
    assert np.allclose(ensemble_map(maps, [0, 5]), maps[1]) and ensemble_map(maps).dtype == np.float32
    opposite = np.stack([maps[0], 1 - maps[0]])
    assert not ensemble_map(opposite).any() and not ensemble_map(np.zeros((2, 3, 4, 5))).any()


@pytest.mark.parametrize("weights", [[1], [0, 0], [1, -1], [1, np.nan]])
def test_an_ensemble_needs_a_weight_a_member(weights):
    with pytest.raises(ValueError, match="a weight of 0 or more to each member"):
        ensemble_map(np.ones((2, 1, 4, 4)), weights)
