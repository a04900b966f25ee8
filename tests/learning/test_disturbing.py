"""Each disturbance against what it is defined to be."""

import numpy as np
import pytest
import torch

from lesionkit.learning import disturbing
from lesionkit.learning.disturbing import COUNTS, Disturbances, disturb, draw

N, SIZE = 40, 64
KINDS = list(COUNTS)


def images(seed=0):
    return torch.rand(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def chances(seed=1):
    return draw(N, torch.Generator().manual_seed(seed))


def disturbed(kind, strength, x=None, u=None):
    x = images() if x is None else x
    return disturb(x, chances() if u is None else u, Disturbances(**{kind: strength}), torch.arange(N).roll(1))


@pytest.mark.parametrize("kind", KINDS)
def test_zero_changes_nothing_one_changes_every_image_and_values_stay_in_range(kind):
    x = images()
    assert torch.equal(disturbed(kind, 0.0), x)
    found = disturbed(kind, 1.0)
    assert torch.equal(x, images()) and found.shape == x.shape and found.min() >= 0 and found.max() <= 1
    assert ((found - x).abs().amax((1, 2, 3)) > 1e-3).float().mean() > 0.9
    assert torch.equal(found, disturbed(kind, 1.0))  # chance is in u alone


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "oklab"])
def test_a_share_of_the_images_is_changed_and_the_rest_left(kind):
    changed = (disturbed(kind, 0.3) - images()).abs().amax((1, 2, 3)) > 1e-4
    chosen = chances().split(list(COUNTS.values()), 1)[KINDS.index(kind)][:, 0] < 0.3
    assert not changed[~chosen].any() and changed[chosen].float().mean() > 0.8 and 0 < chosen.sum() < N


def test_oklab_of_white_black_and_red_is_as_published_and_there_and_back_is_the_same():
    colours = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0]]).view(3, 3, 1, 1)
    expected = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0.6280, 0.2249, 0.1258]])  # Ottosson 2020
    assert torch.allclose(disturbing.to_oklab(colours).view(3, 3), expected, atol=1e-3)
    assert torch.allclose(disturbing.from_oklab(disturbing.to_oklab(images())), images(), atol=1e-4)


def test_oklab_without_a_deviation_is_the_identity_and_its_parts_do_one_thing():
    middle = torch.full((N, 6), 0.5)
    assert torch.allclose(disturbing.oklab(images(), middle, 1.0), images(), atol=1e-4)
    brighter, greyer = middle.clone(), middle.clone()
    brighter[:, 1], greyer[:, 2] = 1.0, 0.0
    x = 0.2 + 0.4 * images()
    light, a, b = disturbing.to_oklab(x).unbind(1)
    found = disturbing.to_oklab(disturbing.oklab(x, brighter, 0.5)).unbind(1)
    assert torch.allclose(found[0], 1.15 * light, atol=1e-3) and torch.allclose(found[1], a, atol=1e-3)
    found = disturbing.to_oklab(disturbing.oklab(x, greyer, 1.0)).unbind(1)
    assert torch.allclose(found[0], light, atol=1e-3) and torch.allclose(found[2], b / 2, atol=1e-3)


def test_fourier_takes_the_partners_low_amplitudes_and_keeps_the_phases():
    x, other = images(), torch.arange(N).roll(1)
    u = torch.cat([torch.zeros(N, 1), torch.ones(N, 1)], 1)
    x = 0.4 + 0.2 * x  # nothing leaves [0, 1]
    before, after = torch.fft.rfft2(x), torch.fft.rfft2(disturbing.fourier(x, u, 1.0, other))
    assert torch.allclose(after[:, :, :3, :3].abs(), before[other][:, :, :3, :3].abs(), rtol=1e-3, atol=1e-3)
    assert torch.allclose(after[:, :, 5:-4].abs(), before[:, :, 5:-4].abs(), atol=1e-3)
    assert torch.allclose(after[:, :, 5:-4], before[:, :, 5:-4], atol=1e-3)  # phases too


def test_a_disc_is_dark_around_and_leaves_its_inside():
    found = disturbing.discs(torch.ones(N, 3, 96, 96), chances()[:, : COUNTS["discs"]], 1.0)
    corners = found[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.mean() < 0.15 and found[:, :, 40:56, 40:56].min() > 0.95


def test_a_blur_keeps_the_mean_and_lowers_the_contrast_the_more_the_wider():
    x, u = images(), torch.tensor([[0.0, 0.2]] * 20 + [[0.0, 1.0]] * 20)
    found = disturbing.blur(x, u, 1.0)
    assert torch.allclose(found.mean((2, 3)), x.mean((2, 3)), atol=0.02)
    assert found[20:].std() < found[:20].std() < x.std() + 1e-6


def test_hair_darkens_thin_lines_alone():
    found = disturbing.hair(torch.ones(N, 3, 96, 96), chances()[:, : COUNTS["hair"]], 1.0)
    dark = (found < 0.9).float().mean((1, 2, 3))
    assert dark.max() < 0.35 and dark.mean() > 0.01
    assert np.isclose(found[:, 0], found[:, 2]).all()
