"""The maps are pytorch-grad-cam's where alignment plays no part, all of them from one pass."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction
from torch import nn

from lesionkit.data.records import CLASSES
from lesionkit.explain.cams import AGAINST, METHODS, cam_maps, first_component, signs, stretched
from lesionkit.learning.augmentation import to_float
from lesionkit.learning.backbones import BACKBONES, Backbone

PACKAGE = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "layercam": LayerCAM, "hirescam": HiResCAM,
           "scorecam": ScoreCAM}  # fmt: skip


class Curved(nn.Module):
    """A network with a position for each pixel, so that no map is enlarged, and unlike gradients at each."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.more = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(32, 7)

    def forward(self, x):
        return self.head(self.more(self.features(x)))


@pytest.fixture()
def curved(monkeypatch):
    monkeypatch.setitem(BACKBONES, "curved", Backbone("curved", cam="features", stride=1))
    torch.manual_seed(1)
    model = Curved().eval().requires_grad_(False)
    model.head.weight *= 100  # the package's 1e-7 in the denominator is then small
    images = np.random.default_rng(3).integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)
    return model, {"backbone": "curved", "normalisation": ((0,) * 3, (1,) * 3), "classes": list(CLASSES)}, images


def test_the_maps_are_those_of_the_package_where_alignment_plays_no_part(curved, capsys):
    model, settings, images = curved
    targets = [2, 0, 5]
    got = cam_maps(model, settings, images, targets, METHODS)
    assert capsys.readouterr() == ("", "")  # nor a bar of progress
    x, asked = to_float(images), [ClassifierOutputTarget(k) for k in targets]
    with torch.enable_grad():
        for method, one in PACKAGE.items():
            expected = one(model.requires_grad_(True), [model.features])(input_tensor=x, targets=asked)
            assert np.allclose(got[method], expected, atol=1e-5), method
            assert len(np.unique(expected.round(3))) > 50, method
    with torch.no_grad():
        projected = np.maximum(get_2d_projection_with_sign_correction(model.features(x).numpy()), 0)
    assert np.allclose(got["eigencam"], stretched(projected), atol=1e-5)


def test_maps_of_one_call_are_those_of_a_call_each(curved):
    model, settings, images = curved
    together = cam_maps(model, settings, images, [1, 1, 6], METHODS)
    assert list(together) == list(METHODS)
    for method in METHODS:
        assert np.allclose(together[method], cam_maps(model, settings, images, [1, 1, 6], [method])[method], atol=1e-6)
        assert all(np.abs(together[method] - together[other]).max() > 0.01 for other in METHODS if other != method)


def test_what_speaks_against_a_class_is_what_speaks_for_its_opposite(curved):
    model, settings, images = curved
    signed = [method for method in METHODS if method != "eigencam"]  # which asks for no class
    assert [signs(method) for method in METHODS] == [[m, AGAINST + m] if m in signed else [m] for m in METHODS]
    against = cam_maps(model, settings, images, [4] * 3, [AGAINST + method for method in signed] + ["gradcam"])
    model.head.weight *= -1
    opposite = cam_maps(model, settings, images, [4] * 3, signed)
    for method in signed:
        assert np.allclose(against[AGAINST + method], opposite[method], atol=1e-6) and opposite[method].any(), method
    assert np.abs(against["gradcam"] - opposite["gradcam"]).max() > 0.5


def test_all_methods_share_one_pass_and_the_backward_pass_ends_at_the_layer(curved, monkeypatch):
    model, settings, images = curved
    passed, graphs = [], []
    model.register_forward_hook(lambda module, inputs, output: passed.append(len(inputs[0])))
    original = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda y, x, **more: graphs.append(tuple(x)) or original(y, x, **more))
    cam_maps(model, settings, images, methods=METHODS[:5], batch_size=2)
    assert passed == [2, 1] and len(graphs) == 2
    assert all(layer.is_leaf and layer.shape[1:] == (6, 12, 10) for (layer,) in graphs)
    passed.clear(), graphs.clear()
    cam_maps(model, settings, images, methods=["eigencam"], batch_size=2)
    assert passed == [2, 1] and not graphs
    cam_maps(model, settings, images, methods=["scorecam"], batch_size=4)
    assert passed[2:] == [3] + 3 * [4, 2] and not graphs  # six channels of each image


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (2, 50, 4, 3)])  # fewer channels than positions, and more
def test_the_first_component_is_the_packages_whatever_the_sign_of_the_features(shape):
    features = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    got = first_component(features)
    assert np.allclose(got, get_2d_projection_with_sign_correction(features), atol=1e-5)
    assert np.allclose(got, first_component(-features), atol=1e-5) and (got.max((1, 2)) >= -got.min((1, 2))).all()
    features[0, 0, 0, 0] = np.nan  # taken as 0, as the package does
    assert np.allclose(first_component(features), get_2d_projection_with_sign_correction(features), atol=1e-5)


@pytest.mark.parametrize("channels", [3, 50])
def test_features_that_differ_by_rounding_alone_have_no_component(channels):
    rng = np.random.default_rng(0)
    features = np.tile(rng.normal(size=(2, channels, 1, 1)), (1, 1, 5, 4)).astype(np.float32)
    assert not first_component(features * (1 + 1e-7 * rng.normal(size=features.shape))).any()
    assert first_component(features * (1 + 1e-3 * rng.normal(size=features.shape))).any()
