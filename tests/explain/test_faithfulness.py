"""Curves and areas by hand: a toy model whose probability is the brightness of one corner."""

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter

from lesionkit.explain import faithfulness
from lesionkit.explain.faithfulness import areas, centre_map, curves, method_scores, others, pictures, scores

from .corners import SIZE, STEPS, TARGETS, N, corner_map, corner_p, grey_p, noise, random_maps, toy

LESIONS = ["a", "b", "c"]
QUARTERS = [np.s_[:8, :8], np.s_[:8, 8:], np.s_[8:, 8:], np.s_[8:, :8]]  # clockwise


@pytest.fixture()
def black(monkeypatch):
    """The substrate is black, so that by hand a pixel that is gone is 0."""
    monkeypatch.setattr(faithfulness, "substrate", np.zeros_like)


def test_the_curves_of_a_map_that_lights_the_corner_and_of_its_opposite(black):
    images = toy().images
    right, wrong = curves(corner_p, images, [corner_map(), 1 - corner_map()], TARGETS, STEPS)
    assert np.allclose(right, np.array([[1, 0, 0, 0, 0], [0, 1, 1, 1, 1]])[:, None])
    assert np.allclose(wrong, np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 1]])[:, None])
    assert np.allclose(areas(right), [[1 / 8], [7 / 8]]) and np.allclose(areas(wrong), [[7 / 8], [1 / 8]])


def test_within_a_tie_pixels_go_at_random_and_come_back_in_the_reverse_order(black):
    p = curves(corner_p, toy().images, [corner_map()], TARGETS, 2 * STEPS)[0]
    half = p[0, 0, 1]  # half of the corner is gone
    assert p[0, 0, 0] == 1 and 0.3 < half < 0.7 and np.allclose(p[0, :, 2:], 0)
    assert np.allclose(p[1], np.maximum(0, 1 - p[0])) and 0 < p[1, 0, 1] < 1  # the other half comes back first
    gone = pictures(toy().images, np.zeros_like(toy().images), corner_map(), 2 * STEPS, 0)[0, 0, :, :, 0] == 0
    assert gone[:8, :8].sum() == 32 == gone.sum()


def test_pictures_replace_equal_shares_of_the_pixels():
    images, bare, heat = noise(), noise(seed=1), random_maps()
    seen = pictures(images, bare, heat, STEPS, 0)
    assert seen.shape == (N, STEPS - 1, SIZE, SIZE, 3) and seen.dtype == np.uint8
    for i in range(N):
        by_map = np.sort(heat[i].ravel())[::-1]
        for k in range(STEPS - 1):
            gone = heat[i] >= by_map[64 * (k + 1) - 1]  # 64 of 256 pixels a step
            assert gone.sum() == 64 * (k + 1)
            assert np.array_equal(seen[i, k][gone], bare[i][gone])
            assert np.array_equal(seen[i, k][~gone], images[i][~gone])


def test_each_image_has_its_own_order_of_ties_whatever_stands_beside_it():
    images, bare, heat = noise(), np.zeros((N, SIZE, SIZE, 3), np.uint8), np.zeros((N, SIZE, SIZE))
    seen = pictures(images, bare, heat, 2, 0)[:, 0]
    hidden = (seen != images).any(axis=3)
    assert np.mean(hidden[0] == hidden[1]) == pytest.approx(0.5, abs=0.15)
    assert np.array_equal(pictures(images[1:2], bare[:1], heat[:1], 2, 0)[0, 0], seen[1])


@pytest.mark.parametrize("level", [0, 0.3, 1])
def test_a_constant_map_is_the_random_baseline(level):
    heat = (level + 1e-7 * random_maps(size=7)).clip(0, 1)  # constant but for rounding
    table = scores({"a": toy(images=noise())}, {"a": heat}, TARGETS, LESIONS, STEPS)[1]
    columns = [(kind, f"{kind}_{order}") for kind in faithfulness.KINDS for order in ("random", "other")]
    assert all((table[own] == table[other]).all() for own, other in columns)
    assert table["deletion"].std() > 0 and table[["drop", "increase"]].isna().all(axis=None)


def test_the_random_order_shows_as_much_of_the_corner_as_of_the_whole(black):
    flat = [np.zeros((N, SIZE, SIZE))]
    p = curves(corner_p, toy().images, flat, TARGETS, STEPS)[0]
    assert np.allclose(p[0], np.linspace(1, 0, STEPS + 1), atol=0.1) and np.array_equal(p[1], p[0, :, ::-1])
    again, other = (curves(corner_p, toy().images, flat, TARGETS, STEPS, seed)[0] for seed in (0, 1))
    assert np.array_equal(again, p) and not np.array_equal(other, p)


def test_the_ends_are_the_image_and_the_substrate_whatever_the_order():
    images = noise()
    p = curves(corner_p, images, [random_maps(), corner_map()], TARGETS, STEPS)
    whole, bare = corner_p(images)[:, 2], corner_p(faithfulness.substrate(images))[:, 2]
    assert (p[:, 0, :, 0] == whole).all() and (p[:, 1, :, -1] == whole).all()
    assert (p[:, 0, :, -1] == bare).all() and (p[:, 1, :, 0] == bare).all()


def test_a_model_that_is_always_as_sure_has_that_area():
    sure = toy(predict=lambda images: np.full((len(images), 7), 0.25), images=noise())
    table = scores({"a": sure}, {"a": random_maps()}, TARGETS, LESIONS, STEPS)[1]
    assert (table.drop(columns=["model", "image", "drop", "increase"]) == 0.25).all(axis=None)
    assert (table[["drop", "increase"]] == 0).all(axis=None)


def test_neither_chunks_nor_the_order_of_images_matter_and_nothing_is_changed(monkeypatch):
    images, maps, targets = noise(7), random_maps(7), np.arange(7)
    maps[3] = 0
    kept = images.copy(), maps.copy(), targets.copy()

    def table(order=np.arange(7)):
        member = toy(predict=grey_p, images=images[order])
        rows = scores({"a": member}, {"a": maps[order]}, targets[order], order, STEPS)[1]
        return rows.assign(image=order[rows["image"]]).sort_values("image").reset_index(drop=True)

    whole, sizes = table(), []
    assert table(np.array([4, 2, 6, 0, 1, 5, 3])).equals(whole)

    def grey_p_noting(images):
        sizes.append(len(images))
        return grey_p(images)

    monkeypatch.setattr(faithfulness, "CHUNK", 5)
    chunked = scores({"a": toy(predict=grey_p_noting, images=images)}, {"a": maps}, targets, np.arange(7), STEPS)[1]
    assert chunked.equals(whole) and sorted(set(sizes))[-2:] == [5, 7]  # 7: the images themselves, in memory anyhow
    assert all(np.array_equal(a, b) for a, b in zip(kept, (images, maps, targets), strict=True))


def test_the_substrate_is_the_image_blurred_and_keeps_its_mean():
    images = noise()
    bare = faithfulness.substrate(images)
    sigma = faithfulness.BLUR * SIZE
    blurred = gaussian_filter(images.astype(float), (0, sigma, sigma, 0), mode="reflect")
    assert np.allclose(bare, blurred, atol=0.501)
    assert bare.dtype == np.uint8 and bare.shape == images.shape
    assert np.allclose(bare.mean((1, 2)), images.mean((1, 2)), atol=0.6) and bare.std() < images.std() / 4
    assert (faithfulness.substrate(np.full_like(images, 77)) == 77).all()


def test_the_centre_is_a_bell_of_a_quarter_of_the_side():
    bell = centre_map(33)
    assert bell.dtype == np.float32 and bell[16, 16] == 1 == bell.max() and np.array_equal(bell, bell.T[::-1])
    assert bell[16, 24] == pytest.approx(np.exp(-0.5 * (8 / 33 / 0.25) ** 2))


def test_the_ensemble_is_the_mean_of_its_members_under_its_map_each_at_its_own_size(black):
    small, large = toy("small", 16), toy("large", 32, predict=lambda images: corner_p(images) * 0.5)
    own = {"small": corner_map(), "large": 1 - corner_map(size=32)}
    maps = own | {"ensemble": corner_map(size=16)}
    curve, table = scores({"small": small, "large": large}, maps, TARGETS, LESIONS, STEPS)
    assert curve["model"].unique().tolist() == table["model"].unique().tolist() == ["small", "large", "ensemble"]
    p = {key: rows["p"].to_numpy() for key, rows in curve.groupby(["model", "order", "kind"])}
    # the corner of the larger member is the first sixteenth of its pixels; the ensemble's map lights a quarter
    assert np.allclose(p["ensemble", "map", "deletion"], [0.75, 0, 0, 0, 0])
    assert np.allclose(p["large", "map", "deletion"], [0.5, 0.5, 0.5, 0.5, 0])
    for key in [(order, kind) for order in ("random", "centre") for kind in faithfulness.KINDS]:
        assert np.allclose(p["ensemble", *key], (p["small", *key] + p["large", *key]) / 2)
    assert all(np.array_equal(p["ensemble", "other", kind], p["ensemble", "map", kind]) for kind in faithfulness.KINDS)
    by = table.set_index(["model", "image"])
    assert np.allclose(by.loc["ensemble", "deletion"], 0.75 / 8) and np.allclose(by.loc["ensemble", "drop"], 0)
    without = scores({"small": small, "large": large}, own, TARGETS, LESIONS, STEPS)[1]
    assert without.equals(table[table["model"] != "ensemble"])


def test_tables_are_tidy_and_their_areas_those_of_the_mean_curves():
    curve, table = scores({"a": toy(images=noise())}, {"a": random_maps()}, TARGETS, LESIONS, STEPS)
    assert curve.columns.tolist() == ["model", "order", "kind", "share", "p"] and len(curve) == 4 * 2 * (STEPS + 1)
    assert table.columns.tolist() == ["model", "image", "deletion", "insertion", "deletion_other", "insertion_other",
                                      "deletion_random", "insertion_random", "deletion_centre", "insertion_centre",
                                      "drop", "increase"]  # fmt: skip
    assert table["image"].tolist() == [0, 1, 2]
    for (order, kind), rows in curve.groupby(["order", "kind"]):
        column = kind if order == "map" else f"{kind}_{order}"
        assert trapezoid(rows["p"], rows["share"]) == pytest.approx(table[column].mean())


def test_methods_share_the_baselines_and_the_passes_are_those_promised():
    counted = []

    def predict(images):
        counted.append(len(images))
        return grey_p(images)

    member, maps = toy(predict=predict, images=noise()), {"one": random_maps(), "two": random_maps(seed=1)}
    curve, table = method_scores(member, maps, TARGETS, LESIONS, STEPS)
    assert sum(counted) == N * (2 + 3 * (STEPS - 1) + 2 * (1 + 4 * (STEPS - 1)))
    assert curve.columns[0] == table.columns[0] == "method" and table["method"].unique().tolist() == ["one", "two"]
    both = table.set_index(["method", "image"])
    baselines = [column for column in table if column.endswith(("_random", "_centre"))]
    assert both.loc["one", baselines].equals(both.loc["two", baselines])
    for name in maps:
        same = toy(images=member.images, predict=grey_p)
        alone = scores({name: same}, {name: maps[name]}, TARGETS, LESIONS, STEPS)[1]
        assert alone.drop(columns="model").equals(both.loc[name].reset_index())


def brightness_p(images):
    """The target's probability is the share of a quarter that is white, wherever it lies."""
    p = np.zeros((len(images), 7))
    p[:, 2] = images.sum((1, 2, 3)) / 255 / 3 / 64
    return p


def test_what_a_map_gains_over_another_images_by_hand(black):
    """Image k has its white block in quarter k; its map lights the quarters in turn, its own first."""
    images, maps = np.zeros((2, SIZE, SIZE, 3), np.uint8), np.zeros((2, SIZE, SIZE), np.float32)
    for k in range(2):
        images[k][QUARTERS[k]] = 255
        for turn in range(4):
            maps[k][QUARTERS[(k + turn) % 4]] = 1 - turn / 3
    member = toy(predict=brightness_p, images=images)
    curve, table = scores({"a": member}, {"a": maps, "ensemble": maps}, TARGETS[:2], ["x", "y"], STEPS)
    # the other map reaches the first image's block last, 3 steps late, and that of the second one step late
    assert np.allclose(table[["deletion", "insertion"]], [1 / 8, 7 / 8])
    assert np.allclose(table["deletion_other"], [7 / 8, 3 / 8] * 2)
    assert np.allclose(table["insertion_other"], [1 / 8, 5 / 8] * 2)
    p = curve[curve["order"] == "other"].groupby(["model", "kind"])["p"].apply(list)
    assert np.allclose([*p[:, "deletion"]], [1, 1, 0.5, 0.5, 0])
    assert np.allclose([*p[:, "insertion"]], [0, 0, 0.5, 0.5, 1])


def test_a_map_that_is_the_same_for_all_images_gains_nothing_over_another_images(black):
    for heat in (corner_map(), np.repeat(random_maps(1), N, axis=0)):
        table = scores({"a": toy()}, {"a": heat}, TARGETS, LESIONS, STEPS)[1]
        assert all((table[kind] == table[f"{kind}_other"]).all() for kind in faithfulness.KINDS)


def test_another_images_constant_map_is_the_random_order_of_this_image():
    maps = random_maps(2)
    maps[1] = 0.5
    table = scores({"a": toy(images=noise(2))}, {"a": maps}, TARGETS[:2], ["x", "y"], STEPS)[1]
    for kind in faithfulness.KINDS:
        same = table[f"{kind}_other"] == table[f"{kind}_random"]
        assert same.tolist() == [True, False]


def test_images_of_one_lesion_alone_have_no_other():
    curve, table = scores({"a": toy(images=noise())}, {"a": random_maps()}, TARGETS, ["x"] * N, STEPS)
    assert table[["deletion_other", "insertion_other"]].isna().all(axis=None)
    assert table.drop(columns=["deletion_other", "insertion_other"]).notna().all(axis=None)
    assert (curve["p"].isna() == (curve["order"] == "other")).all()


@pytest.mark.parametrize("lesions", [range(2), range(9), range(24), [1, 1, 2, 2], [3, 1, 2, 1, 3, 1], [*"bacba"]])
def test_the_other_is_of_another_lesion_and_each_image_is_it_once(lesions):
    found, names = others(lesions), np.array(lesions)
    assert (names[found] != names).all() and sorted(found) == list(range(len(names)))
    assert np.array_equal(others(list(lesions)), found)


def test_the_other_where_most_images_show_one_lesion_and_in_any_order_of_rows():
    names = np.array([1, 1, 2, 1, 1, 3])
    found = others(names)
    assert (names[found] != names).all() and {2, 5} < set(found)
    assert others([7, 7]).tolist() == [-1, -1] and others(["x"]).tolist() == [-1]
    order = np.random.default_rng(0).permutation(9)
    assert np.array_equal(order[others(order)], others(range(9))[order])


@pytest.mark.parametrize("maps, targets, steps, message", [
    ({}, TARGETS, 4, "the maps of 'a' are missing"), ({"a": random_maps() * np.nan}, TARGETS, 4, "from nan to nan"),
    ({"a": random_maps(2)}, TARGETS, 4, r"\(2, 16, 16\) from .* its 3 images"),
    ({"a": 2 * random_maps()}, TARGETS, 4, r"in 0\.\.1"), ({"a": random_maps()}, TARGETS, 1, "1 steps: .* or more"),
    ({"a": random_maps()}, [2], 4, r"targets \[2\]"), ({"a": random_maps()}, [2, -1, 2], 4, "a class number"),
])  # fmt: skip
def test_what_cannot_be_scored_is_refused(maps, targets, steps, message):
    with pytest.raises(ValueError, match=message):
        scores({"a": toy()}, maps, targets, LESIONS, steps)


def test_each_image_needs_its_lesion():
    with pytest.raises(ValueError, match="2 clusters of 3 images"):
        scores({"a": toy()}, {"a": random_maps()}, TARGETS, LESIONS[:2], STEPS)
