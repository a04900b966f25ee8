"""Shortcuts: a model that reads an artefact is caught, one that reads the lesion is not; shares by hand."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.explain import shortcuts
from lesionkit.explain.regions import border
from lesionkit.explain.shortcuts import COLUMNS, bare_calls, counterfactual, scores

S = 40
MEL, NV = CLASSES.index("mel"), CLASSES.index("nv")


def square(top, left, side=8):
    mask = np.zeros((S, S), bool)
    mask[top : top + side, left : left + side] = True
    return mask


PATCH, LESION = square(2, 2), square(14, 14, 12)


def picture(*dark):
    """Bright skin with dark squares."""
    image = np.full((S, S, 3), 200, np.uint8)
    for mask in dark:
        image[mask] = 40
    return image


def reader(mask, seen=None):
    """A model that calls mel as far as `mask` is dark, else nv; it notes how many images it was given."""

    def predict(images):
        if seen is not None:
            seen.append(len(images))
        p = np.zeros((len(images), 7))
        p[:, MEL] = np.clip((200 - images[:, mask].mean((1, 2))) / 160, 0, 1)
        p[:, NV] = 1 - p[:, MEL]
        return p

    return predict


def stack(*masks):
    return np.stack(masks)


IMAGES = stack(picture(PATCH, LESION), picture(LESION))
REGION = {"patch": stack(PATCH, np.zeros_like(PATCH))}
FLAT = np.ones((2, S, S), np.float32)


def test_a_model_that_reads_the_artefact_loses_its_call_without_it_and_keeps_it_without_as_much_elsewhere():
    table = scores(reader(PATCH), IMAGES, FLAT, [MEL, MEL], REGION)
    assert list(table) == COLUMNS and len(table) == 1  # the second image has no patch
    row = table.iloc[0]
    assert (row["image"], row["region"], row["flipped"]) == (0, "patch", 1)
    assert row[["p", "p_without", "change", "change_control"]].tolist() == pytest.approx([1, 0, -1, 0], abs=0.02)


def test_a_model_that_reads_the_lesion_does_not_mind():
    row = scores(reader(LESION), IMAGES, FLAT, [MEL, MEL], REGION).iloc[0]
    assert row[["p", "p_without", "change", "flipped", "change_control"]].tolist() == [1, 1, 0, 0, 0]


def test_the_control_shows_what_filling_itself_does():
    images = stack(picture(PATCH, square(30, 30)))  # where the turned patch lies
    row = scores(reader(square(30, 30)), images, FLAT[:1], [MEL], {"patch": PATCH[None]}).iloc[0]
    assert row[["change", "change_control"]].tolist() == pytest.approx([0, -1], abs=0.02)


def test_p_is_the_targets_and_flipped_the_calls():
    row = scores(reader(PATCH), IMAGES, FLAT, [NV, NV], REGION).iloc[0]
    assert row[["p", "p_without", "change", "flipped"]].tolist() == pytest.approx([0, 1, 1, 1], abs=0.02)


def test_energy_and_lift_by_hand():
    maps = np.zeros((3, S, S), np.float32)
    maps[0][PATCH], maps[0][LESION] = 0.5, 1  # 64 pixels of a half, 144 of 1
    maps[1] = 0.7
    table = scores(reader(PATCH), np.repeat(IMAGES[:1], 3, 0), maps, [MEL] * 3, {"patch": np.repeat(PATCH[None], 3, 0)})
    area = 64 / S**2
    assert table["area"].tolist() == [area] * 3
    assert table["energy"].tolist() == pytest.approx([32 / 176, area, area])  # the constant ones are uniform
    assert table["lift"].tolist() == pytest.approx([32 / 176 / area, 1, 1])


def test_the_border_is_read_and_not_filled_and_a_centred_region_has_no_control():
    centre = square(10, 10, 20)
    maps = np.where(square(12, 12, 16), 1, np.where(square(0, 0), 4, 0)).astype(np.float32)[None]  # sums 256 and 256
    table = scores(reader(LESION), IMAGES[:1], maps, [MEL], {"border": border(1, S), "centre": centre[None]})
    assert table["region"].tolist() == ["border", "centre"]
    assert table["energy"].tolist() == [0.375, 0.5]  # of the patch of 64 pixels 48 lie in the ring
    assert table.iloc[0][["p_without", "change", "flipped", "change_control"]].isna().all()
    assert table.iloc[1]["change"] == pytest.approx(-1, abs=0.02) and np.isnan(table.iloc[1]["change_control"])


def test_half_covered_by_its_turned_mask_a_region_has_no_control():
    half = np.zeros((1, S, S), bool)
    half[0, 10:30, 10:30] = True
    half[0, 30:40, 0:40] = True  # 400 pixels turn onto themselves, 400 do not
    table = scores(reader(LESION), IMAGES[:1], FLAT[:1], [MEL], {"half": half, "less": half & (np.arange(S) != 10)})
    assert table["change_control"].isna().tolist() == [True, False]


def test_each_picture_is_predicted_once_in_chunks(monkeypatch):
    seen = []
    monkeypatch.setattr(shortcuts, "CHUNK", 3)
    many = {"patch": np.repeat(PATCH[None], 4, 0), "border": border(4, S), "none": np.zeros((4, S, S), bool)}
    table = scores(reader(PATCH, seen), np.repeat(IMAGES, 2, 0), np.repeat(FLAT, 2, 0), [MEL] * 4, many)
    assert seen == [4, 3, 3, 2] and len(table) == 8  # the images; four without the patch and four controls
    assert table[table["region"] == "patch"]["p_without"].max() < 0.02


def test_nothing_there_gives_no_row_and_asks_nothing():
    seen = []
    table = scores(reader(PATCH, seen), IMAGES, FLAT, [MEL, MEL], {"ink": np.zeros((2, S, S), bool)})
    assert table.empty and list(table) == COLUMNS and seen == [2]
    assert scores(reader(PATCH), IMAGES, FLAT, [MEL, MEL], {}).empty


def test_inputs_are_not_changed():
    images, maps, masks = IMAGES.copy(), np.zeros_like(FLAT), REGION["patch"].copy()
    scores(reader(PATCH), images, maps, [MEL, MEL], {"patch": masks})
    counterfactual(reader(PATCH), images, masks, [MEL, MEL])
    assert (images == IMAGES).all() and not maps.any() and (masks == REGION["patch"]).all()


def test_without_its_lesion_a_model_that_reads_it_loses_its_call():
    lesions = stack(LESION, LESION)
    table = counterfactual(reader(LESION), IMAGES, lesions, [MEL, NV])
    assert table["image"].tolist() == [0, 1] and table["area"].tolist() == [144 / S**2] * 2
    assert table["p"].tolist() == [1, 0] and table["p_without_lesion"].tolist() == pytest.approx([0, 1], abs=0.02)
    assert table["change"].tolist() == pytest.approx([-1, 1], abs=0.02)
    assert table["kept"].tolist() == [0, 0] and table["call_without"].tolist() == ["nv", "nv"]
    blind = counterfactual(reader(PATCH), IMAGES, lesions, [MEL, NV])
    assert blind["kept"].tolist() == [1, 1] and blind["call_without"].tolist() == ["mel", "nv"]
    assert blind["change"].tolist() == [0, 0]


def test_a_lesion_of_nothing_or_of_nearly_all_is_undefined():
    seen, lesions = [], np.zeros((3, S, S), bool)
    lesions[1, : S * 4 // 5] = True  # 0.8 of the frame is just defined
    lesions[2, : S * 4 // 5 + 1] = True
    table = counterfactual(reader(LESION, seen), IMAGES[[0, 0, 0]], lesions, [MEL] * 3)
    assert table["change"].isna().tolist() == table["kept"].isna().tolist() == [True, False, True]
    assert table["call_without"].isna().tolist() == [True, False, True]
    assert table["p"].tolist() == [1, 1, 1] and seen == [3, 1]


def test_calls_of_bare_skin_are_shares_of_the_defined_rows():
    table = pd.DataFrame({"model": ["b"] * 4 + ["a"], "call_without": ["nv", "nv", "mel", None, None]})
    shares = bare_calls(table)
    assert list(shares) == ["model", "n", *CLASSES] and shares["model"].tolist() == ["b", "a"]
    assert shares["n"].tolist() == [3, 0]
    assert shares.loc[0, ["nv", "mel", "df"]].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert shares.loc[1, list(CLASSES)].isna().all()


@pytest.mark.parametrize("change, message", [
    ({"images": IMAGES.astype(float)}, "images are float64"),
    ({"maps": FLAT[:, 1:]}, r"maps is float32 \(2, 39, 40\): give numbers \(2, 40, 40\)"),
    ({"regions": {"ink": PATCH}}, r"regions\['ink'\] is bool \(40, 40\)"),
    ({"regions": {"ink": FLAT}}, r"regions\['ink'\] is float32 .*give booleans"),
    ({"targets": [MEL]}, "targets for 2 images"), ({"targets": [MEL, 7]}, "one, 0 to 6"),
])  # fmt: skip
def test_what_does_not_belong_together_is_refused(change, message):
    given = {"images": IMAGES, "maps": FLAT, "targets": [MEL, MEL], "regions": REGION} | change
    with pytest.raises(ValueError, match=message):
        scores(reader(PATCH), **given)
