"""The images to explain, chosen and drawn from tables that can be checked by eye."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.explain.cases import COLUMNS, choose_cases, missed_melanomas, sample_cases


def table(rows, model="ensemble", **more):
    """From (image, lesion, split, truth, call, p of the call)."""
    made = pd.DataFrame(rows, columns=["image_id", "lesion_id", "split", "y_true", "call", "p"])
    for dx in CLASSES:
        made[f"p_{dx}"] = np.where(made["call"] == dx, made["p"], (1 - made["p"]) / 6)
    return made.assign(model=model, dataset="x", **more).drop(columns=["call", "p"])


ROWS = [
    ("a", "1", "test", "mel", "mel", 0.8), ("b", "1", "test", "mel", "mel", 0.3), ("c", "2", "test", "mel", "mel", 0.6),
    ("d", "3", "test", "mel", "nv", 0.5), ("e", "4", "test", "mel", "bkl", 0.9),
    ("f", "5", "external", "mel", "mel", 0.4), ("g", "6", "val", "mel", "mel", 0.99),
    ("i", "8", "external", "akiec", "nv", 0.7), ("h", "7", "external", "akiec", "nv", 0.7),
]  # fmt: skip
SHORT = ["image_id", "class", "truth", "call", "outcome", "confidence", "split"]


def test_the_most_and_least_confident_of_each_class_and_outcome_inside_and_outside():
    chosen = choose_cases(table(ROWS))
    assert list(chosen.columns) == COLUMNS
    assert chosen[SHORT].values.tolist() == [
        ["h", "akiec", "akiec", "nv", "missed", "most", "external"],  # a tie: the lower id
        ["i", "akiec", "akiec", "nv", "missed", "least", "external"],
        ["e", "bkl", "mel", "bkl", "false_alarm", "most", "test"],  # the only one: once
        ["a", "mel", "mel", "mel", "correct", "most", "test"],
        ["c", "mel", "mel", "mel", "correct", "least", "test"],  # b is less confident, but of a's lesion
        ["e", "mel", "mel", "bkl", "missed", "most", "test"],
        ["d", "mel", "mel", "nv", "missed", "least", "test"],
        ["f", "mel", "mel", "mel", "correct", "most", "external"],
        ["d", "nv", "mel", "nv", "false_alarm", "most", "test"],
        ["h", "nv", "akiec", "nv", "false_alarm", "most", "external"],
        ["i", "nv", "akiec", "nv", "false_alarm", "least", "external"],
    ]
    assert chosen["p"].tolist() == pytest.approx([0.7, 0.7, 0.9, 0.8, 0.6, 0.9, 0.5, 0.4, 0.5, 0.7, 0.7])


def test_the_least_confident_image_of_a_lesion_stands_for_it_and_a_tie_goes_to_the_lower_id():
    rows = [(image, lesion, "test", "df", "df", p) for image, lesion, p in [
        ("z", "1", 0.9), ("c", "2", 0.6), ("d", "2", 0.4), ("b", "3", 0.4)]]  # fmt: skip
    assert choose_cases(table(rows))["image_id"].tolist() == ["z", "b"]
    assert choose_cases(table(rows[:3]))["image_id"].tolist() == ["z", "d"]


def test_more_a_cell_are_of_different_lesions_and_none_is_most_and_least():
    rows = [(name, name, "test", "nv", "nv", p) for name, p in zip("abcde", (0.5, 0.6, 0.7, 0.8, 0.9), strict=True)]
    chosen = choose_cases(table(rows), per_cell=2)
    assert chosen["image_id"].tolist() == ["e", "d", "a", "b"] and set(chosen["outcome"]) == {"correct"}
    assert choose_cases(table(rows[:3]), per_cell=2)["image_id"].tolist() == ["c", "b", "a"]


def test_lesions_that_near_duplicates_join_are_one():
    grouped = table(ROWS, group_id=["1", "1", "1", "3", "4", "5", "6", "8", "8"])
    chosen = choose_cases(grouped).query("outcome != 'false_alarm'")
    assert chosen["image_id"].tolist() == ["h", "a", "e", "d", "f"]


def test_the_order_of_rows_and_other_models_do_not_matter():
    both = pd.concat([table(ROWS[::-1]), table([("z", "9", "test", "mel", "mel", 1.0)], model="resnet50")])
    before = both.copy()
    for choose in (choose_cases, missed_melanomas, sample_cases):
        pd.testing.assert_frame_equal(choose(both), choose(table(ROWS)))
    pd.testing.assert_frame_equal(both, before)
    assert choose_cases(both, model="resnet50")["image_id"].tolist() == ["z"]


def test_nothing_to_choose_is_an_empty_table():
    none = table(ROWS[6:7])
    assert choose_cases(none).empty and list(choose_cases(none)) == COLUMNS
    assert sample_cases(none).empty
    assert missed_melanomas(table(ROWS[:3])).empty


@pytest.mark.parametrize("choose", [choose_cases, missed_melanomas, sample_cases])
def test_a_model_that_is_not_there_is_named_with_those_that_are(choose):
    with pytest.raises(ValueError, match="no predictions of 'vit': the table holds ensemble"):
        choose(table(ROWS), model="vit")


def test_missed_melanomas_are_the_surest_wrong_calls_one_a_lesion():
    rows = [*ROWS, ("j", "4", "test", "mel", "nv", 0.95), ("k", "9", "test", "bkl", "nv", 1.0),
            ("l", "10", "test", "mel", "df", 0.5)]  # fmt: skip
    missed = missed_melanomas(table(rows), "ensemble", "test", 8)
    assert missed[["image_id", "call"]].values.tolist() == [["j", "nv"], ["d", "nv"], ["l", "df"]]
    assert list(missed) == COLUMNS and set(missed["outcome"]) == {"missed"} and set(missed["class"]) == {"mel"}
    assert missed_melanomas(table(rows), "ensemble", "test", 1)["image_id"].tolist() == ["j"]
    assert missed_melanomas(table(rows), "ensemble", "external").empty
    with pytest.raises(ValueError, match="no predictions of split 'tset': the table holds external, test, val"):
        missed_melanomas(table(rows), "ensemble", "tset")


def many(seed=0):
    """Of each class, inside and outside: 30 lesions, the first ten with five images."""
    rng = np.random.default_rng(seed)
    return table([
        (f"{dx}{split}{lesion}-{i}", f"{dx}{split}{lesion}", split, dx, rng.choice(CLASSES), rng.uniform(0.2, 1))
        for dx in CLASSES for split in ("test", "external") for lesion in range(30)
        for i in range(5 if lesion < 10 else 1)
    ])  # fmt: skip


def test_a_sample_has_so_many_images_of_each_true_class_of_as_many_lesions():
    drawn = sample_cases(many(), per_class=4)
    assert list(drawn) == ["image_id", "cluster", "class", "call", "target", "correct", "split", "p"]
    assert (drawn.groupby(["class", "split"])["cluster"].nunique() == 4).all() and len(drawn) == 7 * 2 * 4
    assert list(drawn["class"].drop_duplicates()) == list(CLASSES)
    assert (np.take(CLASSES, drawn["target"]) == drawn["call"]).all() and drawn["target"].dtype.kind == "i"
    assert ((drawn["call"] == drawn["class"]) == drawn["correct"]).all() and drawn["correct"].any()
    assert (sample_cases(many(), per_class=99).groupby(["class", "split"]).size() == 30).all()  # as many as there are


def test_a_sample_follows_its_seed_and_a_smaller_one_is_part_of_it():
    first = sample_cases(many(), per_class=4, seed=1)
    pd.testing.assert_frame_equal(first, sample_cases(many().sample(frac=1, random_state=0), per_class=4, seed=1))
    assert set(first["image_id"]) != set(sample_cases(many(), per_class=4, seed=2)["image_id"])
    assert set(first["image_id"]) <= set(sample_cases(many(), per_class=9, seed=1)["image_id"])
    inside = many().query("split == 'test'")  # what is drawn inside does not depend on what there is outside
    kept = first.query("split == 'test'").reset_index(drop=True)
    pd.testing.assert_frame_equal(sample_cases(inside, per_class=4, seed=1), kept)


def test_lesions_are_equally_likely_and_so_are_the_images_of_each():
    rows = many().query("y_true == 'mel' and split == 'test'")
    drawn = pd.concat([sample_cases(rows, per_class=10, seed=seed) for seed in range(60)])
    lesion, image = drawn["image_id"].str.extract(r"test(\d+)-(\d)").astype(int).to_numpy().T
    assert (lesion < 10).mean() == pytest.approx(1 / 3, abs=0.08)  # ten of 30 lesions, though 50 of 70 images
    assert np.bincount(image[lesion < 10]).min() > 20  # five of about 200
    assert np.bincount(lesion).min() > 5  # thirty of 600


def test_zero_takes_every_image():
    drawn = sample_cases(many(), per_class=0)
    assert sorted(drawn["image_id"]) == sorted(many()["image_id"])
    with pytest.raises(ValueError, match="per_class = -1: give 1 or more"):
        sample_cases(many(), per_class=-1)
