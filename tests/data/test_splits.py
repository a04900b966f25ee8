import numpy as np
import pandas as pd
import pytest

from lesionkit.data.readers import read
from lesionkit.data.records import CLASSES
from lesionkit.data.splits import LeakError, assert_disjoint, external_set, split, study_table

NO_PAIRS = pd.DataFrame(columns=["image_a", "image_b"])


def pairs(*rows):
    return pd.DataFrame(rows, columns=["image_a", "image_b"])


def index_of(lesions, dx="nv"):
    """An index of images i0, i1, … with these lesion ids."""
    return pd.DataFrame(
        {"image_id": [f"i{i}" for i in range(len(lesions))], "lesion_id": lesions, "dx": dx, "source": "elsewhere"}
    )


@pytest.fixture
def archive():
    """2,000 images of lesions with one to four images, classes as rare as in HAM10000."""
    rng = np.random.default_rng(0)
    sizes = rng.choice([1, 2, 3, 4], 1200, p=[0.6, 0.2, 0.1, 0.1])
    classes = rng.choice(CLASSES, 1200, p=[0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02])
    return index_of(np.repeat([f"L{i:04}" for i in range(1200)], sizes), np.repeat(classes, sizes))


def test_lesions_joined_by_duplicates_are_one_group():
    index = index_of(["A", "A", "B", "C", "D", None])
    table = split(index, pairs(("i1", "i2"), ("i2", "i3"), ("i0", "elsewhere")))
    assert table["group_id"].tolist() == ["A", "A", "A", "A", "D", "i5"]
    assert table["lesion_id"].tolist() == ["A", "A", "B", "C", "D", "i5"]
    assert table["image_id"].tolist() == index["image_id"].tolist()
    assert table.loc[:3, "split"].nunique() == 1


@pytest.mark.parametrize("seed", range(5))
def test_fractions_hold_for_each_class_and_nothing_is_shared(archive, seed):
    table = split(archive, NO_PAIRS, seed=seed)
    assert_disjoint(table)
    shares = pd.crosstab(archive["dx"], table["split"], normalize="index")
    counts = archive["dx"].value_counts()
    for part, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert ((shares[part] - fraction).abs() * counts).max() <= 3  # images
    sizes = table.groupby("lesion_id").agg(images=("image_id", "size"), split=("split", "first"))
    assert sizes.groupby("split")["images"].mean().pipe(np.ptp) < 0.1  # large lesions go everywhere


def test_result_depends_on_the_seed_and_not_on_row_order(archive):
    duplicates = pairs(("i0", "i900"), ("i5", "i77"))
    table = split(archive, duplicates, seed=3)
    shuffled = split(archive.sample(frac=1, random_state=1), duplicates.iloc[::-1], seed=3)
    tables = [each.sort_values("image_id", ignore_index=True) for each in (table, shuffled)]
    assert tables[0].equals(tables[1])
    assert not split(archive, duplicates, seed=4)["split"].equals(table["split"])


@pytest.mark.parametrize(
    "lesions, expected",
    [(1, {"train"}), (2, {"train", "val"}), (3, {"train", "val", "test"}), (7, {"train", "val", "test"})],
)
def test_a_rare_class_reaches_every_part_that_it_can(lesions, expected):
    index = index_of(np.repeat([f"L{i}" for i in range(lesions)], 3), "df")
    assert set(split(index, None)["split"]) == expected


def test_a_group_of_mixed_classes_counts_as_its_majority():
    index = pd.concat(
        [
            index_of([f"N{i}" for i in range(97)]),
            index_of(["M", "M", "M"], ["mel", "nv", "nv"]).assign(image_id=["m0", "m1", "m2"]),
        ]
    )
    table = split(index.reset_index(drop=True), None)
    assert table.loc[97:, "split"].nunique() == 1
    counts = table["split"].value_counts().to_dict()
    assert counts == {"train": 70, "val": 15, "test": 15}  # as of 100 images of nv


def test_the_leaky_split_tears_lesions_and_is_refused_unless_told(archive):
    table = split(archive, NO_PAIRS, by="image_leaky")
    shares = table["split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.7, abs=0.005)
    with pytest.raises(LeakError, match="lesion_id stand in several splits, the first 'L0"):
        assert_disjoint(table)
    assert_disjoint(table, leaky=True)


@pytest.mark.parametrize("column, named", [("image_id", "'i0'"), ("lesion_id", "'A'"), ("group_id", "'G'")])
def test_whatever_stands_on_both_sides_is_named(column, named):
    table = pd.DataFrame(
        {
            "image_id": ["i0", "i1", "i2"],
            "lesion_id": ["A", "B", "C"],
            "group_id": ["G", "H", "I"],
            "split": ["train", "test", "external"],
        }
    )
    assert_disjoint(table)
    table.loc[2, column] = table.loc[0, column]
    with pytest.raises(LeakError, match=f"{named} in external and train"):
        assert_disjoint(table)


def test_an_image_twice_in_one_part_is_refused():
    row = {"image_id": "i0", "lesion_id": "A", "group_id": "A", "split": "train"}
    with pytest.raises(LeakError, match="'i0' has several rows"):
        assert_disjoint(pd.DataFrame([row, row]), leaky=True)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"by": "image"}, "'lesion' or 'image_leaky', not 'image'"),
        ({"fractions": (0.7, 0.3)}, "3 positive numbers"),
        ({"fractions": (0.7, 0.2, 0.2)}, "sum to 1"),
        ({"fractions": (0.8, 0.2, 0.0)}, "positive"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        split(index_of(["A", "B", "C"]), None, **options)


def test_bad_rows_are_named():
    with pytest.raises(ValueError, match="'i1' has dx 'UNK'"):
        split(index_of(["A", "B"], ["nv", "UNK"]), None)
    with pytest.raises(ValueError, match="'i0' has several rows"):
        split(index_of(["A", "B"]).assign(image_id="i0"), None)


def test_external_set_counts_each_step():
    ham = pd.DataFrame({"image_id": ["h0", "h1"], "lesion_id": ["H0", None]})
    isic = pd.DataFrame(
        {
            "image_id": ["h0", "h1", "e0", "e1", "e2", "e3", "e4"],
            "lesion_id": ["H0", None, "H0", "E1", "E1", None, None],
            "source": ["HAM10000"] * 2 + ["BCN_20000"] * 3 + [None, "MSK"],
        }
    )
    before = isic.copy()
    # e1 is a near-duplicate, so its lesion E1 goes whole; e3 and e4 are near-duplicates of each other only
    rows, counts = external_set(isic, ham, pairs(("h1", "e1"), ("e3", "e4")))
    assert rows["image_id"].tolist() == ["e3", "e4"]
    assert counts.to_dict("list") == {
        "step": ["all images", "image id", "lesion id", "near-duplicate"],
        "removed": [0, 2, 1, 2],
        "remaining": [7, 5, 4, 2],
    }
    assert isic.equals(before)
    assert external_set(isic, ham, None)[1]["remaining"].tolist() == [7, 5, 4, 4]
    assert external_set(isic, ham, pairs(("e1", "h1")))[1].equals(counts)  # in either order


def test_images_of_ham10000_stay_out_also_where_the_copy_of_it_lacks_them():
    ham = pd.DataFrame({"image_id": ["h0"], "lesion_id": ["H0"]})
    isic = pd.DataFrame(
        {"image_id": ["h0", "h1", "e0"], "lesion_id": ["H0", "H1", "E0"], "source": ["HAM10000"] * 2 + ["MSK"]}
    )
    rows, counts = external_set(isic, ham, NO_PAIRS)
    assert rows["image_id"].tolist() == ["e0"] and counts["removed"].tolist() == [0, 2, 0, 0]


def test_real_counts(real_data):
    ham, _ = read(real_data / "isic84", "ham10000")
    isic, _ = read(real_data / "isic84", "isic2019")
    rows, counts = external_set(isic, ham, NO_PAIRS)
    assert counts["remaining"].tolist() == [17788, 7773, 7773, 7773]
    assert counts["removed"].tolist() == [0, 10015, 0, 0]
    assert rows["source"].value_counts().to_dict() == {"BCN_20000": 6301, "MSK": 1472}
    table = split(ham, pairs(("ISIC_0030074", "ISIC_0025226")))
    assert_disjoint(table)
    assert table["lesion_id"].nunique() == 7470 and table["group_id"].nunique() == 7469
    shares = pd.crosstab(ham["dx"], table["split"], normalize="index")
    assert (shares[["train", "val", "test"]] - [0.7, 0.15, 0.15]).abs().max().max() < 0.01


def test_the_study_table_holds_both_sets_and_refuses_a_lesion_on_both_sides():
    facts = {"dataset": "ham10000", "source": "HAM10000", "source_dx": "nv"}
    inside = index_of(["A", "A", "B", "C"]).assign(**facts)
    outside = pd.DataFrame({"image_id": ["x0", "x1"], "lesion_id": ["X", None], "dx": "mel", "dataset": "isic2019",
                            "source": "MSK", "source_dx": "MEL"})  # fmt: skip
    table = study_table(split(inside, NO_PAIRS), inside, outside)
    assert list(table["split"][-2:]) == ["external", "external"] and list(table["lesion_id"][-2:]) == ["X", "x1"]
    assert len(table) == 6 and table["group_id"].notna().all()
    with pytest.raises(LeakError, match="'A' in external and"):
        study_table(split(inside, NO_PAIRS), inside, outside.assign(lesion_id=["A", None]))


def test_near_duplicates_join_external_lesions_into_groups():
    inside = index_of(["A", "B", "C"]).assign(dataset="ham10000", source="HAM10000", source_dx="nv")
    outside = pd.DataFrame({"image_id": ["x", "y", "z"], "lesion_id": ["X", "Y", None], "dx": "mel", "dataset": "isic2019",
                            "source": "MSK", "source_dx": "MEL"})  # fmt: skip
    table = study_table(split(inside, NO_PAIRS), inside, outside, pairs(("x", "z"))).set_index("image_id")
    assert table.loc["x", "group_id"] == table.loc["z", "group_id"] != table.loc["y", "group_id"]
    assert table.loc[["x", "z"], "lesion_id"].tolist() == ["X", "z"]
