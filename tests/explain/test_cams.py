"""Every method lights what the model looks at, in one pass for all, and leaves the model as it found it."""

from functools import partial

import numpy as np
import pytest
import torch
from explain.planted import PLANTED, config, corner_images, network, plant, quarters
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction
from torch import nn
from torch.nn import functional as F

from lesionkit.data.records import CLASSES
from lesionkit.explain.cams import METHODS, cam_maps, stretched
from lesionkit.learning.augmentation import normalise, to_float
from lesionkit.learning.backbones import BACKBONES, Backbone, normalisation
from lesionkit.learning.networks import build

ONE_PASS = METHODS[:5]
PLAIN = {"normalisation": ((0,) * 3, (1,) * 3), "classes": list(CLASSES)}  # images in [0, 1] as they are


def grad_cam(*arguments, **options):
    return cam_maps(*arguments, **options)["gradcam"]


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
    def make(patch=16):
        monkeypatch.setitem(BACKBONES, "toy", Backbone("toy", cam="features", stride=patch))
        torch.manual_seed(0)
        return Toy(patch).eval(), {"backbone": "toy", **PLAIN}

    return make


def blocks(rng, h, w, n=1):
    """Images of 16 px squares of one colour each, and the colours in [0, 1]: (n, h, w, 3)."""
    colours = rng.integers(1, 256, (n, h, w, 3)).astype(np.uint8)
    return colours.repeat(16, 1).repeat(16, 2), colours / 255.0


def laid(coarse):
    """Positions of 16 px on the image, from 0 to 1."""
    return stretched(F.interpolate(torch.from_numpy(coarse)[:, None], scale_factor=16, mode="bilinear")[:, 0].numpy())


def test_the_maps_are_those_computed_by_hand(toy):
    model, settings = toy()
    images, colours = blocks(np.random.default_rng(0), 4, 5, n=2)
    weights = model.head.weight[3].detach().double().numpy()
    assert (weights < 0).any() and (weights > 0).any()
    gradient = weights / 20  # d logit / d feature, the same at each of 20 positions
    sums = colours.sum((1, 2))  # (2, 3)
    alpha = gradient**2 / (2 * gradient**2 + sums * gradient**3 + 1e-6)
    plusplus = 20 * alpha * gradient.clip(0)  # (2, 3)
    by_hand = {
        "gradcam": colours @ gradient,
        "gradcam++": np.einsum("nhwc,nc->nhw", colours, plusplus),
        "layercam": colours @ gradient.clip(0),
        "hirescam": colours @ gradient,  # as Grad-CAM where the gradient is the same everywhere
        "eigencam": get_2d_projection_with_sign_correction(np.moveaxis(colours, 3, 1)),
    }
    got = cam_maps(model, settings, images, [3, 3], tuple(by_hand))
    for method, coarse in by_hand.items():
        assert np.allclose(got[method], laid(np.maximum(coarse, 0)), atol=1e-5), method
        assert got[method].dtype == np.float32 and got[method].max() == 1 and got[method].min() == 0


@pytest.mark.parametrize("name", ["baseline_cnn", "test_resnet", "test_vit"])
def test_every_method_lights_the_corner_where_the_evidence_was_planted(name):
    h, w = 160, 192
    images, model = corner_images(h, w), network(name, h, w)
    plant(model, name, images)
    maps = cam_maps(model, config(name), images[:4], [PLANTED] * 4, ONE_PASS)
    for method in ONE_PASS:
        shares = quarters(maps[method])
        assert (shares.argmax(1) == np.arange(4)).all() and shares.diagonal().min() > 0.4, (method, shares.round(2))


def test_score_cam_lights_the_corner_that_the_logit_needs(toy):
    model, settings = toy()
    nn.init.zeros_(model.head.weight), nn.init.constant_(model.head.weight[PLANTED, 0], 9.0)  # red
    images = np.random.default_rng(0).integers(0, 60, (4, 96, 64, 3), dtype=np.uint8)
    for image, (top, left) in zip(images, [(0, 0), (0, 32), (64, 0), (64, 32)], strict=True):
        image[top : top + 32, left : left + 32, 0] = 250
    shares = quarters(cam_maps(model, settings, images, [PLANTED] * 4, ["scorecam"])["scorecam"])
    assert (shares.argmax(1) == np.arange(4)).all() and shares.diagonal().min() > 0.6


def test_a_map_without_contrast_is_zero(toy):
    model, settings = toy()
    images, _ = blocks(np.random.default_rng(2), 4, 4)
    constant = cam_maps(model, settings, np.full((1, 64, 64, 3), 77, np.uint8), [0], METHODS)
    assert not any(maps.any() for maps in constant.values())
    nn.init.constant_(model.head.weight, -1.0)
    against = cam_maps(model, settings, images, [0], METHODS)  # nothing speaks for the class
    assert not any(against[method].any() for method in METHODS[:4])
    nn.init.zeros_(model.head.weight)
    without = cam_maps(model, settings, images, [0], METHODS)  # no gradient
    assert not any(without[method].any() for method in METHODS[:4]) and without["eigencam"].any()
    nn.init.constant_(model.head.weight, 1e-9)
    small = cam_maps(model, settings, images, [0], ("gradcam", "layercam", "hirescam"))  # but a small gradient is one
    assert all(maps.max() == pytest.approx(1) for maps in small.values())


def test_a_map_that_is_not_finite_is_zero(toy):
    model, settings = toy()
    images, _ = blocks(np.random.default_rng(2), 4, 4)
    nn.init.constant_(model.head.weight, torch.nan)
    maps = cam_maps(model, settings, images, [0], METHODS)
    assert not any(maps[method].any() for method in METHODS if method != "eigencam")  # which asks no logit
    assert all(np.isfinite(one).all() for one in maps.values())


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
        maps = cam_maps(model, config(name), corner_images(64, 64)[:2], [0] * 2, METHODS)
        assert any(of.any() for of in maps.values())
        assert not torch.is_grad_enabled()
    assert state() == before and not first.requires_grad and model.get_classifier().weight.grad is kept
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True)) and bool((kept == 1).all())
    with pytest.raises(RuntimeError):
        grad_cam(model, {**config(name), "normalisation": ((0,) * 2, (1,) * 2)}, corner_images(64, 64), [0] * 5)
    assert state() == before
    handle = model.get_classifier().register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        grad_cam(model, config(name), corner_images(64, 64), [0] * 5)
    handle.remove()
    assert state() == before and torch.is_grad_enabled()


def test_a_frozen_model_can_be_explained():
    model = network("baseline_cnn", 64, 64)
    images = corner_images(64, 64)
    free = grad_cam(model, config("baseline_cnn"), images)
    assert np.array_equal(free, grad_cam(model.requires_grad_(False), config("baseline_cnn"), images)) and free.any()


def test_the_study_says_how_many_threads_compute(toy):
    model, settings = toy()
    seen, before = [], torch.get_num_threads()
    model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    images, _ = blocks(np.random.default_rng(0), 4, 4)
    for threads in (0, before + 1):
        cam_maps(model, {**settings, "study": {"threads": threads}}, images)
    assert seen == [before, before + 1] and torch.get_num_threads() == before


@pytest.mark.parametrize("images, targets, methods, message", [
    (np.zeros((2, 64, 64, 3), np.float32), None, ["gradcam"], "float32"),
    (np.zeros((64, 64, 3), np.uint8), None, ["gradcam"], r"uint8 \(n, H, W, 3\)"),
    (np.zeros((2, 64, 64, 3), np.uint8), [1], ["gradcam"], "1 targets"),
    (np.zeros((2, 64, 64, 3), np.uint8), [0, 7], ["gradcam"], "one, 0 to 6"),
    (np.zeros((2, 64, 64, 3), np.uint8), None, ["gradcam", "smoothgrad"], "smoothgrad.*give some of.*eigencam"),
    (np.zeros((2, 64, 64, 3), np.uint8), None, ["-eigencam"], "-eigencam.*give some of"),
    (np.zeros((2, 64, 64, 3), np.uint8), None, "gradcam", "methods 'gradcam': give some of"),
])  # fmt: skip
def test_what_cannot_be_explained_is_refused(images, targets, methods, message):
    with pytest.raises(ValueError, match=message):
        cam_maps(network("baseline_cnn", 64, 64), config("baseline_cnn"), images, targets, methods)


def test_a_layer_that_is_no_map_is_refused(toy, monkeypatch):
    model, settings = toy()
    model.unused = nn.Identity()
    images, _ = blocks(np.random.default_rng(0), 4, 4)
    messages = {"head": r"shape \(1, 7\) is no map", "": "no module ''", "unused": "no logit depends on"}
    for cam, message in messages.items():
        monkeypatch.setitem(BACKBONES, "toy", Backbone("toy", cam=cam, stride=16))
        with pytest.raises(ValueError, match=f"{message}.*BACKBONES"):
            grad_cam(model, settings, images)
