"""The share of leaked test images, and the crossover that measures a sibling's worth."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.readers import read
from lesionkit.data.records import CLASSES
from lesionkit.data.siblings import cannot_inject, injection, sibling_share
from lesionkit.data.splits import LeakError, split


def archive(lesions=700, seed=0):
    """An internal split by lesion; more images a lesion of melanoma."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(CLASSES, lesions, p=[0.06, 0.08, 0.12, 0.05, 0.2, 0.44, 0.05])
    sizes = np.where(
        classes == "mel", rng.choice([1, 2, 3, 4], lesions), rng.choice([1, 2, 3], lesions, p=[0.7, 0.2, 0.1])
    )
    dx = np.repeat(classes, sizes)
    index = pd.DataFrame({"image_id": [f"i{i:04}" for i in range(len(dx))], "dx": dx})
    index["lesion_id"] = np.repeat([f"L{i:04}" for i in range(lesions)], sizes)
    return split(index, None, seed=seed).assign(dx=dx)


def test_no_image_has_a_sibling_where_every_lesion_has_one_image():
    table = archive(200).groupby("lesion_id", as_index=False).first()
    shares = sibling_share(table, seeds=range(3))
    assert shares["class"].tolist() == ["all", *CLASSES]
    assert (shares.loc[shares["n"] > 0, ["share", "least", "most"]] == 0).all().all()


def test_the_share_is_that_of_the_definition_and_its_range_that_of_the_seeds():
    table = archive()
    shares = sibling_share(table, seeds=(0, 1, 2)).set_index("class")
    expected = []
    for seed in (0, 1, 2):
        parts = split(table[["image_id", "lesion_id", "dx"]], None, seed=seed, by="image_leaky").assign(dx=table["dx"])
        trained = set(parts.loc[parts["split"] == "train", "lesion_id"])
        test = parts[parts["split"] == "test"]
        expected.append([name in trained for name in test.loc[test["dx"] == "mel", "lesion_id"]])
    means = [np.mean(each) for each in expected]
    assert shares.loc["mel", ["share", "least", "most"]].tolist() == pytest.approx(
        [np.mean(means), min(means), max(means)]
    )
    assert shares.loc["mel", "n"] == pytest.approx(np.mean([len(each) for each in expected]))
    assert shares.loc["all", "share"] < shares.loc["mel", "share"]


def test_a_class_without_test_images_has_no_share():
    table = archive(60)
    shares = sibling_share(table[table["dx"] != "vasc"], seeds=[0]).set_index("class")
    assert shares.loc["vasc", "n"] == 0 and np.isnan(shares.loc["vasc", "share"])


def test_joined_lesions_are_siblings_and_external_images_are_none():
    table = archive(200).groupby("lesion_id", as_index=False).first()  # one image a lesion
    joined = table.assign(group_id=np.repeat(table["group_id"].to_numpy()[::2], 2)[: len(table)])
    outside = table.assign(image_id="x" + table["image_id"], split="external")
    shares = sibling_share(pd.concat([joined, outside]), seeds=[0])
    assert shares["share"][0] > 0.5 and shares["n"][0] == pytest.approx(0.15 * len(table), abs=5)


def test_real_shares_are_the_published_ones(real_data):
    ham, _ = read(real_data / "isic84", "ham10000")
    table = split(ham, None).assign(dx=ham["dx"])
    shares = sibling_share(table, seeds=range(5)).set_index("class")["share"]
    assert shares["all"] == pytest.approx(0.35, abs=0.015)  # about 35 % and, of melanomas, 62 % with this archive
    assert shares["mel"] == pytest.approx(0.62, abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_a_probe_is_in_no_training_set_and_its_siblings_only_in_that_of_its_half(seed):
    table = archive(seed=seed)
    probes, tables = injection(table, seed)
    test = table[table["split"] == "test"]
    several = test.groupby("group_id").filter(lambda images: len(images) > 1)
    assert sorted(probes["group_id"]) == sorted(several["group_id"].unique())  # one of each lesion with siblings
    assert list(probes.columns) == ["image_id", "group_id", "dx", "half"]
    for half, result in tables.items():
        assert result["image_id"].equals(table["image_id"])
        changed = table[result["split"] != table["split"]]
        siblings = several[~several["image_id"].isin(probes["image_id"])]
        mine = probes.loc[probes["half"] == half, "group_id"]
        assert set(changed["image_id"]) == set(siblings.loc[siblings["group_id"].isin(mine), "image_id"])
        assert (result.loc[changed.index, "split"] == "train").all() and (changed["split"] == "test").all()


@pytest.mark.parametrize("seed", range(4))
def test_halves_hold_equal_lesions_of_each_class_and_equal_images(seed):
    table = archive(seed=seed)
    probes, tables = injection(table, seed)
    lesions = pd.crosstab(probes["dx"], probes["half"])
    assert (lesions["A"] - lesions["B"]).abs().max() <= 1
    injected = [(part["split"] == "train").sum() for part in tables.values()]
    assert abs(injected[0] - injected[1]) <= 3  # images: what one lesion can inject


def test_it_is_drawn_with_the_seed_and_not_from_the_row_order():
    table = archive()
    before = table.copy()
    probes, tables = injection(table, 5)
    shuffled, again = injection(table.sample(frac=1, random_state=0), 5)
    assert shuffled.equals(probes) and again["A"].sort_index().equals(tables["A"])
    assert not injection(table, 6)[0].equals(probes)
    assert table.equals(before)


def test_every_image_of_a_lesion_can_be_the_probe():
    rows = [(f"i{i}", "L0" if i < 3 else "L1", "mel", "test") for i in range(6)]
    table = pd.DataFrame(rows, columns=["image_id", "lesion_id", "dx", "split"])
    table["group_id"] = table["lesion_id"]
    drawn = {injection(table, seed)[0]["image_id"][0] for seed in range(40)}
    assert drawn == {"i0", "i1", "i2"}
    assert {tuple(injection(table, seed)[0]["half"]) for seed in range(40)} == {("A", "B"), ("B", "A")}


def test_what_cannot_be_halved_or_leaks_is_refused():
    table = archive(200)
    single = table.groupby("lesion_id", as_index=False).first()
    with pytest.raises(ValueError, match="0 test lesions have several images, and at least 2"):
        injection(single)
    assert cannot_inject(single).startswith("0 test lesions") and cannot_inject(table) == ""
    leaky = split(table, None, by="image_leaky").assign(dx=table["dx"])
    assert cannot_inject(leaky).startswith("the split is by image")
    with pytest.raises(LeakError):
        injection(leaky)
