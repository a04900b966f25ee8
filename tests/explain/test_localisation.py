"""Scores of maps against masks: by hand, by their definitions, and where nothing is defined."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lesionkit.evidence.means import ratio
from lesionkit.explain.localisation import CHUNK, COLUMNS, OTHERS, PUBLISHED, scores

HEAT = np.array([[[1.0, 0.5, 0.0], [0.5, 0.0, 0.0]]])  # sum 2
LESION = np.array([[[True, True, False], [False, False, False]]])


def random(n: int = 40, side: int = 12, levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Maps, of a few levels or of none twice, with masks of any size."""
    rng = np.random.default_rng(levels)
    shape = (n, side, side)
    maps = rng.integers(levels, size=shape) / levels if levels else rng.random(shape, np.float32)
    masks = rng.random(shape) < rng.uniform(0.05, 0.95, (n, 1, 1))
    return maps, masks


def score(heat, lesion) -> pd.Series:
    return scores(np.asarray(heat, float)[None], np.asarray(lesion, bool)[None]).iloc[0]


def test_every_score_by_hand():
    row = scores(HEAT, LESION).iloc[0]
    assert tuple(row.index) == COLUMNS
    assert row["lesion_area"] == pytest.approx(1 / 3)
    assert row["energy"] == pytest.approx(1.5 / 2) and row["lift"] == pytest.approx(0.75 * 3)
    assert row["pointing"] == 1 and row["constant"] == 0
    assert row["iou"] == pytest.approx(2 / 3)  # {>= 1} 1/2, {>= 0.5} 2/3, the frame 2/6
    assert row["lesion"] == pytest.approx(0.75 * 3) and row["background"] == pytest.approx(0.5 / 4 * 3)  # mean 1/3
    assert row["background_to_lesion"] == pytest.approx(0.125 / 0.75)


def test_maxima_that_tie_share_the_point():
    heat = [[1, 1, 1], [1, 0, 0]]
    assert score(heat, LESION[0])["pointing"] == pytest.approx(2 / 4)
    assert score([[0, 0, 1], [0, 0, 0]], LESION[0])["pointing"] == 0


def test_a_threshold_takes_all_pixels_of_its_value():
    """Of four pixels of one value, one on the lesion: no threshold takes it alone."""
    assert score([[1, 1, 1, 1, 0, 0, 0, 0]], [[1, 0, 0, 0, 0, 0, 0, 0]])["iou"] == pytest.approx(1 / 4)


@pytest.mark.parametrize("levels", [0, 3, 10])
def test_the_best_iou_is_that_of_a_search_over_all_thresholds(levels):
    maps, masks = random(levels=levels)

    def searched(heat, lesion):
        return max((lesion & (heat >= t)).sum() / (lesion | (heat >= t)).sum() for t in np.unique(heat))

    expected = [searched(heat, lesion) for heat, lesion in zip(maps, masks)]
    found = scores(maps, masks)
    np.testing.assert_allclose(found["iou"], expected)
    assert (found["iou"] >= found["lesion_area"]).all()


def test_the_level_of_a_map_says_nothing_and_its_order_is_all_that_points():
    maps, masks = random()
    whole, half, squared = (scores(one, masks) for one in (maps, maps / 2, maps**2))
    pd.testing.assert_frame_equal(whole, half, rtol=1e-6)
    pd.testing.assert_frame_equal(whole[["pointing", "iou"]], squared[["pointing", "iou"]])


def test_a_constant_map_weighs_as_much_as_any_other_in_the_pooled_quotient():
    maps = np.stack([HEAT[0], np.zeros((2, 3)), HEAT[0] / 5])
    pooled = ratio(scores(maps, LESION.repeat(3, 0)).assign(cluster=list("abc")), "background", "lesion").iloc[0]
    assert pooled["value"] == pytest.approx((0.375 + 1 + 0.375) / (2.25 + 1 + 2.25))


def test_lesion_and_background_have_the_frames_mean_of_1():
    found = scores(*random())
    area = found["lesion_area"]
    np.testing.assert_allclose(area * found["lesion"] + (1 - area) * found["background"], 1)


def test_lesion_and_background_share_the_energy():
    maps, masks = random()
    inside, outside = scores(maps, masks), scores(maps, ~masks)
    for name in ("energy", "pointing", "lesion_area"):
        np.testing.assert_allclose(inside[name] + outside[name], 1)
    np.testing.assert_allclose(inside["background_to_lesion"] * outside["background_to_lesion"], 1)
    area, energy = inside["lesion_area"], inside["energy"]
    np.testing.assert_allclose(inside["background_to_lesion"], (1 - energy) / (1 - area) * area / energy)


def test_a_map_that_is_the_mask_scores_what_can_be_scored():
    _, masks = random()
    found = scores(masks.astype(np.float32), masks)
    assert (found[["energy", "pointing", "iou"]] == 1).all(axis=None) and (found["background_to_lesion"] == 0).all()
    np.testing.assert_allclose(found["lift"], 1 / masks.mean((1, 2)))


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_constant_map_prefers_no_place(level):
    row = scores(np.full_like(HEAT, level), LESION).iloc[0]
    assert row[["energy", "pointing", "iou", "lesion_area"]].tolist() == pytest.approx([1 / 3] * 4)
    assert row[["lift", "background_to_lesion", "background", "lesion"]].tolist() == pytest.approx([1] * 4)
    assert row["constant"] == 1


def test_noise_scores_as_a_constant_map_does_on_average():
    maps, masks = random(600, 8)
    found = scores(maps, masks)
    for name in ("energy", "pointing"):
        assert (found[name] - found["lesion_area"]).mean() == pytest.approx(0, abs=0.04)


def test_an_empty_mask_leaves_nothing_to_find_and_a_full_one_no_background():
    for heat in (HEAT, np.zeros_like(HEAT)):
        assert scores(heat, np.zeros_like(LESION)).isna().all(axis=None)
        row = scores(heat, np.ones_like(LESION)).iloc[0]
        assert (row[["lesion_area", "energy", "lift", "pointing", "iou"]] == 1).all()
        assert row[["background", "background_to_lesion"]].isna().all() and row["lesion"] > 0


def test_a_lesion_without_any_activation_has_no_quotient_but_is_pooled():
    maps = np.stack([HEAT[0], [[0, 0, 0], [1.0, 1.0, 0]]])
    found = scores(maps, LESION.repeat(2, 0))
    assert np.isnan(found.loc[1, "background_to_lesion"]) and found.loc[1, "energy"] == found.loc[1, "lift"] == 0
    pooled = ratio(found.assign(cluster=["a", "b"]), "background", "lesion").iloc[0]
    assert pooled["n"] == 2 and pooled["value"] == pytest.approx((0.375 + 1.5) / 2.25)


def test_each_image_is_scored_alone_however_many_there_are():
    maps, masks = random(CHUNK + 3, 6)
    kept = maps.copy(), masks.copy()
    whole = scores(maps, masks)
    single = pd.concat([scores(maps[i : i + 1], masks[i : i + 1]) for i in range(len(maps))], ignore_index=True)
    pd.testing.assert_frame_equal(whole, single, rtol=1e-12)
    assert (maps == kept[0]).all() and (masks == kept[1]).all()
    none = scores(maps[:0], masks[:0])
    assert none.empty and tuple(none) == COLUMNS and (none.dtypes == float).all()


@pytest.mark.parametrize(("maps", "masks", "message"), [
    (HEAT, LESION[:, :1], r"maps \(1, 2, 3\), masks bool \(1, 1, 3\)"),
    (HEAT, 255 * LESION.astype(np.uint8), "masks uint8"),
    (HEAT[0], LESION[0], "give maps"),
    (np.concatenate([HEAT, 2 * HEAT]), LESION.repeat(2, 0), r"1 of 2 maps .* outside \[0, 1\], first number 1"),
    (np.where(HEAT == 1, np.nan, HEAT), LESION, "1 of 1 maps"),
])  # fmt: skip
def test_what_cannot_be_scored_is_refused(maps, masks, message):
    with pytest.raises(ValueError, match=message):
        scores(maps, masks)


def test_the_published_values_are_those_of_the_caption():
    assert dict(PUBLISHED) == {"akiec": 0.48, OTHERS: 0.32}


def test_no_torch_is_loaded():
    code = "import sys, lesionkit.explain.localisation; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
