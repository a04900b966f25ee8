"""A map is read where the network has positions, of any family, and lies on the image to the pixel."""

import numpy as np
import pytest
import timm
import torch
from explain import families
from explain.planted import PLANTED, config, corner_images, network, plant, quarters, seen, settled
from torch import nn
from torch.nn import functional as F

from lesionkit.explain.cams import cam_maps
from lesionkit.explain.layers import FEWEST_POSITIONS, as_found, as_grid, cam_layer, on_image, recorded
from lesionkit.learning.backbones import BACKBONES, backbone
from lesionkit.learning.baseline import BaselineCNN

SWIN = "swin_tiny_patch4_window7_224"
SMALL = (SWIN, "cait_xxs24_224", "pit_ti_224", "resmlp_12_224")  # NHWC; class attention; several outputs; tokens alone
SIZES = {"vit_base_patch16_224": [(84, 96)]}  # positions that do not cover the frame, and a frame that is not square


@pytest.mark.parametrize("name", [*BACKBONES, *SMALL])
def test_evidence_planted_in_a_corner_lights_that_corner(name):
    for h, w in SIZES.get(name, [(64, 96), (84, 84)]):
        model, images = network(name, h, w), corner_images(h, w)
        plant(model, name, images)
        maps = cam_maps(model, config(name), images[:4], [PLANTED] * 4)["gradcam"]
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
    with torch.device("meta"):
        model = timm.create_model(name) if name != "baseline_cnn" else BaselineCNN()
    read = {size: cam_layer(model, backbone(name), size) for size in (64, 96, 224, 320)}
    names = {module: key for key, module in model.named_modules()}
    assert names[read[64][0]] == at_64 and names[read[96][0]] == at_96
    assert 96 // read[96][1] >= FEWEST_POSITIONS
    customary = 224 if name != "levit_128s" else 320  # whose last stage has a stride of 64
    assert names[read[customary][0]] == backbone(name).cam and read[customary][1] == backbone(name).stride


@pytest.mark.parametrize("name, cam", [
    ("vit_tiny_patch16_224", "blocks.11.norm1"), ("deit_tiny_distilled_patch16_224", "blocks.11.norm1"),
    ("coat_lite_tiny", "serial_blocks4.1.norm1"), ("pit_ti_224", "transformers.2.blocks.3.norm1"),
    ("beit_base_patch16_224", "blocks.11"), ("eva02_tiny_patch14_224", "blocks.11"), ("mixer_s32_224", "blocks.7"),
    ("cait_xxs24_224", "blocks.23"), ("xcit_nano_12_p8_224", "blocks.11"), ("volo_d1_224", "network.4"),
])  # fmt: skip
def test_a_transformer_is_read_before_its_class_token_has_heard_all_or_at_its_end_if_patches_are_pooled(name, cam):
    assert backbone(name).cam == cam


def moved(model, name, images):
    """Maps (4, h, w) of how far features with each patch lie from those without: what that patch alone moves."""
    h, w = images.shape[1:3]
    layer, stride = cam_layer(model, backbone(name), min(h, w))
    x = seen(name, images)
    with torch.no_grad(), recorded(layer, False) as outputs:
        model(x)
    features = as_grid(outputs[-1], x.shape, stride, getattr(model, "num_prefix_tokens", 0)).numpy()
    apart = np.abs(features[:4] - features[4:]).mean(1)
    return on_image(apart - apart.min(0), (h, w), stride)


@pytest.mark.slow
@pytest.mark.parametrize("name", families.SIZES)
def test_a_patch_moves_features_where_it_lies_in_a_network_of_any_family(name):
    for h, w in families.SIZES[name]:
        model, images = settled(name, h, w)
        shares = quarters(moved(model, name, images))
        assert (shares.argmax(1) == np.arange(4)).all() and shares.diagonal().min() > 0.33, (h, w, shares.round(2))
        maps = cam_maps(model, config(name), images[:4], [PLANTED] * 4, ("gradcam", "-gradcam"))
        assert maps["gradcam"].any() or maps["-gradcam"].any()  # the class's logit depends on the layer


@pytest.mark.slow
@pytest.mark.parametrize("name", families.REFUSED)
def test_a_network_without_a_layer_to_read_is_refused(name):
    with pytest.raises(ValueError, match="BACKBONES"):
        cam_maps(network(name, 224, 224), config(name), corner_images(224, 224))


@pytest.mark.slow
@pytest.mark.parametrize("record", families.REMEDIES, ids=lambda record: record.name)
def test_a_line_in_the_table_is_the_remedy(record, monkeypatch):
    monkeypatch.setitem(BACKBONES, record.name, record)
    model, images = settled(record.name, 224, 224)
    shares = quarters(moved(model, record.name, images))
    assert (shares.argmax(1) == np.arange(4)).all()


def test_a_network_whose_stages_timm_does_not_name_is_refused():
    with torch.device("meta"):
        model = timm.create_model("twins_svt_small")
    with pytest.raises(ValueError, match="twins_svt_small has no module 'block.3' .* BACKBONES"):
        cam_layer(model, backbone("twins_svt_small"), 224)


def test_tokens_and_channels_last_become_a_grid_of_their_positions():
    images = (2, 3, 64, 96)
    grid = torch.randn(2, 5, 4, 6)
    tokens, last = grid.flatten(2).transpose(1, 2), grid.permute(0, 2, 3, 1)
    for prefix in (0, 1, 2, 5):  # more than two only where the network says so
        with_prefix = torch.cat([torch.randn(2, prefix, 5), tokens], 1)
        assert torch.equal(as_grid(with_prefix, images, 16, prefix), grid)
        assert prefix > 2 or torch.equal(as_grid(with_prefix, images, 16), grid)
    assert torch.equal(as_grid(grid, images, 16), grid) and torch.equal(as_grid(last, images, 16), grid)
    cube = torch.randn(2, 4, 4, 4)
    assert torch.equal(as_grid(cube, (2, 3, 64, 64), 16), cube)  # channels first, where it could be either
    padded = torch.randn(2, 5, 6, 7)  # 84 / 16 and 97 / 16, rounded up
    assert torch.equal(as_grid(padded.flatten(2).transpose(1, 2), (2, 3, 84, 97), 16), padded)
    fewer = torch.randn(2, 5, 3, 4)  # no padding
    assert torch.equal(as_grid(fewer, images, 16), fewer)


@pytest.mark.parametrize("shape", [(2, 7), (2, 23, 5), (2, 5, 16, 24), (8, 24, 5), (2, 5, 4, 6, 1)])
def test_what_is_no_map_of_the_images_is_refused(shape):
    with pytest.raises(ValueError, match=r"no map of images \(2, 3, 64, 96\) at a stride of 16 px: give .* BACKBONES"):
        as_grid(torch.zeros(shape), (2, 3, 64, 96), 16)


def test_a_position_lies_on_its_pixels():
    coarse = np.zeros((1, 4, 4), np.float32)
    coarse[0, 1, 2] = 1  # the tile of rows 16 to 31 and columns 32 to 47
    (heat,) = on_image(coarse, (64, 64), 16)
    assert heat.sum(1) @ np.arange(64) / heat.sum() == pytest.approx(23.5, abs=1e-4)
    assert heat.sum(0) @ np.arange(64) / heat.sum() == pytest.approx(39.5, abs=1e-4)


def test_between_positions_a_map_is_linear_and_the_frame_does_not_matter_to_it():
    coarse = np.random.default_rng(0).random((3, 5, 4), np.float32)
    by_hand = F.interpolate(torch.from_numpy(coarse)[:, None], (80, 64), mode="bilinear")[:, 0].numpy()
    assert np.allclose(on_image(coarse, (80, 64), 16), by_hand, atol=1e-6)
    assert np.array_equal(on_image(coarse, (5, 4), 1), coarse)
    assert np.allclose(on_image(np.ones((1, 3, 6), np.float32), (84, 89), 16), 1, atol=1e-6)


def test_rows_and_columns_that_no_position_covers_do_not_shift_the_map():
    coarse = np.random.default_rng(1).random((1, 5, 5), np.float32)
    (narrow,), (wide,) = on_image(coarse, (80, 80), 16), on_image(coarse, (84, 89), 16)  # five patches of 16 px fit
    assert wide.shape == (84, 89) and np.allclose(wide[:80, :80], narrow, atol=1e-6)
    assert np.array_equal(wide[80:, :80], wide[79:80, :80].repeat(4, 0))


@pytest.mark.parametrize("positions", [3, 6])  # fewer and more than the five that fit in
def test_positions_without_padding_or_with_it_lie_about_the_middle(positions):
    coarse = np.random.default_rng(2).random((1, positions, positions), np.float32)
    (heat,), (turned,) = on_image(coarse, (84, 84), 16), on_image(coarse[:, ::-1, ::-1], (84, 84), 16)
    assert np.allclose(heat[::-1, ::-1], turned, atol=1e-6)
    if positions == 6:  # squeezed
        by_hand = F.interpolate(torch.from_numpy(coarse)[:, None], (84, 84), mode="bilinear")[0, 0].numpy()
        assert np.allclose(heat, by_hand, atol=1e-5)
    else:
        assert np.allclose(heat[18:66:16, 18:66:16], on_image(coarse, (48, 48), 16)[0][::16, ::16], atol=1e-6)


def test_what_follows_a_layer_that_says_several_things_gets_them_all():
    class Two(nn.Module):
        def forward(self, x):
            return x * 2, x * 3

    layer, x = Two(), torch.ones(2, 3, requires_grad=True)
    with recorded(layer, True) as outputs:
        first, second = layer(x)
    assert torch.equal(first, 2 * x) and torch.equal(second, 3 * x) and torch.equal(outputs[0], 2 * x)
    first.add_(1)
    assert torch.equal(outputs[0], 2 * x)  # a copy went on
    (gradient,) = torch.autograd.grad(first.sum(), outputs)
    assert torch.equal(gradient, torch.ones(2, 3)) and not layer._forward_hooks


def test_a_model_is_as_it_was_found_also_after_an_error():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 2)).train()
    model[1].eval(), model[2].requires_grad_(False)
    with pytest.raises(ZeroDivisionError), as_found(model):
        assert not model.training and not any(p.requires_grad for p in model.parameters())
        raise ZeroDivisionError
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert [p.requires_grad for p in model.parameters()] == [True, True, False, False]
