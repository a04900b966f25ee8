"""Shortcuts: a model that reads an artefact is caught, one that reads the lesion is not; shares by hand."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.explain import shortcuts
from lesionkit.explain.regions import border
from lesionkit.explain.shortcuts import COLUMNS, bare_calls, counterfactual, kept_by_chance, scores

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
LESIONS = stack(LESION, LESION)


def test_a_model_that_reads_the_artefact_loses_its_call_without_it_and_keeps_it_without_as_much_elsewhere():
    table = scores(reader(PATCH), IMAGES, FLAT, [MEL, MEL], REGION, LESIONS)
    assert list(table) == COLUMNS and len(table) == 1  # the second image has no patch
    row = table.iloc[0]
    assert (row["image"], row["region"], row["flipped"]) == (0, "patch", 1)
    assert row[["p", "p_without", "change", "change_control"]].tolist() == pytest.approx([1, 0, -1, 0], abs=0.02)


def test_a_model_that_reads_the_lesion_does_not_mind():
    row = scores(reader(LESION), IMAGES, FLAT, [MEL, MEL], REGION, LESIONS).iloc[0]
    assert row[["p", "p_without", "change", "flipped", "change_control"]].tolist() == [1, 1, 0, 0, 0]


def test_the_control_shows_what_filling_itself_does():
    images = stack(picture(PATCH, square(30, 30)))  # where the turned patch lies
    row = scores(reader(square(30, 30)), images, FLAT[:1], [MEL], {"patch": PATCH[None]}, LESIONS[:1])
    assert row.loc[0, ["change", "change_control"]].tolist() == pytest.approx([0, -1], abs=0.02)


def test_the_control_avoids_the_lesion_where_the_turned_region_would_fill_it():
    """A region opposite the lesion: turned by 180 degrees or flipped either way it takes a lesion away."""
    lesion = square(30, 30) | square(2, 30) | square(30, 2)
    images, region = stack(picture(PATCH, lesion)), {"patch": PATCH[None]}
    for mask, expected in ((PATCH, [-1, 0]), (lesion, [0, 0])):
        row = scores(reader(mask), images, FLAT[:1], [MEL], region, lesion[None]).iloc[0]
        assert row[["change", "change_control"]].tolist() == pytest.approx(expected, abs=0.02)


def test_a_region_of_which_a_little_overlaps_its_control_has_one_and_of_much_has_none():
    ring = ~square(2, 2, 36)  # covers itself however it is turned, and the lesion where it is shifted by a half
    everywhere = {"ring": ring[None], "patch": PATCH[None]}
    table = scores(reader(LESION), IMAGES[:1], FLAT[:1], [MEL], everywhere, square(2, 2, 36)[None] & ~PATCH)
    assert table["change_control"].isna().all() and table["change"].notna().all()
    edge = square(32, 32) | square(2, 2, 1)  # its one pixel in 65 lies on the patch when turned
    table = scores(reader(LESION), IMAGES[:1], FLAT[:1], [MEL], {"edge": edge[None]}, LESIONS[:1])
    assert table["change_control"].notna().all()
    table = scores(reader(LESION), IMAGES[:1], FLAT[:1], [MEL], {"patch": PATCH[None]}, np.zeros_like(LESIONS[:1]))
    assert table["change_control"].isna().all()  # nobody knows where the lesion is


def test_a_region_beside_the_frame_is_not_filled_with_its_black():
    frame, hair = np.arange(S) < 8, np.zeros((1, S, S), bool)
    hair[0, 18:22, 8:] = True
    images = stack(picture(hair[0]))
    images[0][:, frame] = 0
    found = {"corners": np.broadcast_to(frame, (1, S, S)), "hair": hair}
    seen = []

    def looks(pictures):
        seen.extend(pictures)
        return np.full((len(pictures), 7), 1 / 7)

    scores(looks, images, FLAT[:1], [MEL], found, LESIONS[:1])
    _, without_frame, without_hair, *_ = seen
    assert (without_frame[:, frame].min(axis=(1, 2)) > 0).all() and (without_hair[:, frame] == 0).all()
    assert without_hair[:, ~frame].min() >= 195


def test_p_is_the_targets_and_flipped_the_calls():
    row = scores(reader(PATCH), IMAGES, FLAT, [NV, NV], REGION, LESIONS).iloc[0]
    assert row[["p", "p_without", "change", "flipped"]].tolist() == pytest.approx([0, 1, 1, 1], abs=0.02)


def test_energy_and_lift_by_hand():
    maps = np.zeros((3, S, S), np.float32)
    maps[0][PATCH], maps[0][LESION] = 0.5, 1  # 64 pixels of a half, 144 of 1
    maps[1] = 0.7
    threefold = [np.repeat(of[None], 3, 0) for of in (IMAGES[0], PATCH, LESION)]
    table = scores(reader(PATCH), threefold[0], maps, [MEL] * 3, {"patch": threefold[1]}, threefold[2])
    area = 64 / S**2
    assert table["area"].tolist() == [area] * 3
    assert table["energy"].tolist() == pytest.approx([32 / 176, area, area])  # the constant ones are uniform
    assert table["lift"].tolist() == pytest.approx([32 / 176 / area, 1, 1])


def test_the_border_is_read_and_not_filled_and_a_region_on_the_lesion_alone_has_a_control():
    centre = square(10, 10, 20)
    maps = np.where(square(12, 12, 16), 1, np.where(square(0, 0), 4, 0)).astype(np.float32)[None]  # sums 256 and 256
    table = scores(reader(LESION), IMAGES[:1], maps, [MEL], {"border": border(1, S), "centre": centre[None]},
                   LESIONS[:1])  # fmt: skip
    assert table["region"].tolist() == ["border", "centre"]
    assert table["energy"].tolist() == [0.375, 0.5]  # of the patch of 64 pixels 48 lie in the ring
    assert table.iloc[0][["p_without", "change", "flipped", "change_control"]].isna().all()
    assert table.iloc[1]["change"] == pytest.approx(-1, abs=0.02)
    assert table.iloc[1]["change_control"] == pytest.approx(0, abs=0.02)  # shifted by half a frame


def test_each_picture_is_predicted_once_in_chunks(monkeypatch):
    seen = []
    monkeypatch.setattr(shortcuts, "CHUNK", 3)
    many = {"patch": np.repeat(PATCH[None], 4, 0), "border": border(4, S), "none": np.zeros((4, S, S), bool)}
    images, flat, lesions = (np.repeat(of, 2, 0) for of in (IMAGES, FLAT, LESIONS))
    table = scores(reader(PATCH, seen), images, flat, [MEL] * 4, many, lesions)
    assert seen == [4, 3, 3, 2] and len(table) == 8  # the images; four without the patch and four controls
    assert table[table["region"] == "patch"]["p_without"].max() < 0.02


def test_nothing_there_gives_no_row_and_asks_nothing():
    seen = []
    table = scores(reader(PATCH, seen), IMAGES, FLAT, [MEL, MEL], {"ink": np.zeros((2, S, S), bool)}, LESIONS)
    assert table.empty and list(table) == COLUMNS and seen == [2]
    assert scores(reader(PATCH), IMAGES, FLAT, [MEL, MEL], {}, LESIONS).empty


def test_inputs_are_not_changed():
    images, maps, masks, lesions = IMAGES.copy(), np.zeros_like(FLAT), REGION["patch"].copy(), LESIONS.copy()
    scores(reader(PATCH), images, maps, [MEL, MEL], {"patch": masks}, lesions)
    counterfactual(reader(PATCH), images, masks, [MEL, MEL], masks)
    assert (images == IMAGES).all() and not maps.any() and (masks == REGION["patch"]).all() and (lesions == LESIONS).all()


def test_without_its_lesion_a_model_that_reads_it_loses_its_call():
    table = counterfactual(reader(LESION), IMAGES, LESIONS, [MEL, NV])
    assert table["image"].tolist() == [0, 1] and table["area"].tolist() == [144 / S**2] * 2
    assert table["p"].tolist() == [1, 0] and table["p_without_lesion"].tolist() == pytest.approx([0, 1], abs=0.02)
    assert table["change"].tolist() == pytest.approx([-1, 1], abs=0.02)
    assert table["kept"].tolist() == [0, 0] and table["call_without"].tolist() == ["nv", "nv"]
    assert table["kept_as_sure"].tolist() == [0, 0] and table["call_with"].tolist() == ["mel", "mel"]
    blind = counterfactual(reader(PATCH), IMAGES, LESIONS, [MEL, NV])
    assert blind["kept"].tolist() == blind["kept_as_sure"].tolist() == [1, 1] and blind["call_without"].tolist() == ["mel", "nv"]
    assert blind["change"].tolist() == [0, 0]


def test_a_call_kept_less_sure_than_before_is_told_apart():
    """A model that reads the lesion and the patch, half of each: it still says mel, at 0.6 instead of 1."""

    def both(images):
        p = np.zeros((len(images), 7))
        p[:, MEL] = 0.6 * reader(PATCH)(images)[:, MEL] + 0.4 * reader(LESION)(images)[:, MEL]
        p[:, NV] = 1 - p[:, MEL]
        return p

    row = counterfactual(both, IMAGES[:1], LESIONS[:1], [NV]).iloc[0]
    assert (row["kept"], row["kept_as_sure"]) == (1, 0) and row["change"] == pytest.approx(0.4, abs=0.02)  # of nv


def test_the_lesion_is_not_filled_from_the_frame_which_stays():
    beside = np.arange(S) < 11  # 3 px from the lesion, as wide as the margin
    images = IMAGES[1:].copy()
    images[0][:, beside] = 0
    seen = []

    def looks(pictures):
        seen.extend(pictures)
        return np.full((len(pictures), 7), 1 / 7)

    for frame in (None, np.broadcast_to(beside, (1, S, S))):
        counterfactual(looks, images, LESIONS[:1], [MEL], frame)
    _, dark, _, bright = seen
    assert dark[LESION].min() < 150 and bright[LESION].min() >= 195 and (bright[:, beside] == 0).all()


def test_a_lesion_of_nothing_or_of_nearly_all_is_undefined():
    seen, lesions = [], np.zeros((3, S, S), bool)
    lesions[1, : S * 4 // 5 - 3] = True  # widened by 3 px it covers 0.8 of the frame, just defined
    lesions[2, : S * 4 // 5 - 2] = True
    table = counterfactual(reader(LESION, seen), IMAGES[[0, 0, 0]], lesions, [MEL] * 3)
    assert table["change"].isna().tolist() == table["kept"].isna().tolist() == [True, False, True]
    assert table["call_without"].isna().tolist() == [True, False, True]
    assert table["kept_as_sure"].isna().tolist() == [True, False, True] and table["call_with"].tolist() == ["mel"] * 3
    assert table["p"].tolist() == [1, 1, 1] and seen == [3, 1]
    frame = np.broadcast_to(np.arange(S) < 1, lesions.shape)  # with its rim 2 px wide
    assert counterfactual(reader(LESION), IMAGES[[0, 0, 0]], lesions, [MEL] * 3, frame)["change"].isna().all()


def test_calls_stay_by_chance_as_often_as_two_independent_calls_agree():
    calls = {"call_with": ["df", "df", "nv", "mel", "mel", "nv"], "call_without": ["df", "df", "df", "mel", None, None]}
    table = pd.DataFrame({"model": ["a"] * 5 + ["b"], "cluster": list("123456"), **calls}).assign(kept=[1, 1, 0, 1] + [np.nan] * 2)
    found = kept_by_chance(table, count=100)
    assert found[["model", "n", "metric"]].to_numpy().tolist() == [["a", 4, "kept_by_chance"], ["a", 4, "kept - kept_by_chance"]]
    chance = 2 / 4 * 3 / 4 + 1 / 4 * 0 + 1 / 4 * 1 / 4  # df, nv, mel
    assert found["value"].tolist() == pytest.approx([chance, 3 / 4 - chance])
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()
    always = table.assign(call_without="df", kept=table["call_with"] == "df").iloc[:5]
    assert kept_by_chance(always, count=100)["value"].tolist() == pytest.approx([0.4, 0])  # no call for a lesion's sake
    assert kept_by_chance(table.iloc[5:]).empty


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
    ({"regions": {"ink": FLAT}}, r"regions\['ink'\] is float32 .*give booleans"), ({"lesions": FLAT}, "lesions is float32"),
    ({"targets": [MEL]}, "targets for 2 images"), ({"targets": [MEL, 7]}, "one, 0 to 6"),
])  # fmt: skip
def test_what_does_not_belong_together_is_refused(change, message):
    given = {"images": IMAGES, "maps": FLAT, "targets": [MEL, MEL], "regions": REGION, "lesions": LESIONS} | change
    with pytest.raises(ValueError, match=message):
        scores(reader(PATCH), **given)
