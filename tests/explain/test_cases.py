"""The gallery's images, chosen from a table that can be checked by eye."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.explain.cases import choose_cases


def table(rows, model="ensemble"):
    """From (image, lesion, split, truth, call, p of the call)."""
    made = pd.DataFrame(rows, columns=["image_id", "lesion_id", "split", "y_true", "call", "p"])
    for dx in CLASSES:
        made[f"p_{dx}"] = np.where(made["call"] == dx, made["p"], (1 - made["p"]) / 6)
    return made.assign(model=model, dataset="x").drop(columns=["call", "p"])


ROWS = [
    ("a", "1", "test", "mel", "mel", 0.8), ("b", "1", "test", "mel", "mel", 0.7), ("c", "2", "test", "mel", "mel", 0.6),
    ("d", "3", "test", "mel", "nv", 0.5), ("e", "4", "test", "mel", "bkl", 0.9),
    ("f", "5", "external", "mel", "mel", 0.4), ("g", "6", "val", "mel", "mel", 0.99),
    ("i", "8", "external", "akiec", "nv", 0.7), ("h", "7", "external", "akiec", "df", 0.7),
]  # fmt: skip


def test_the_most_confident_hit_and_miss_of_each_class_inside_and_outside():
    chosen = choose_cases(table(ROWS))
    assert list(chosen.columns) == ["image_id", "class", "call", "outcome", "split", "p"]
    assert chosen.round(6).values.tolist() == [
        ["h", "akiec", "df", "missed", "external", 0.7],  # a tie: the lower id
        ["a", "mel", "mel", "correct", "test", 0.8],
        ["e", "mel", "bkl", "missed", "test", 0.9],
        ["f", "mel", "mel", "correct", "external", 0.4],
    ]


def test_more_a_cell_are_of_different_lesions():
    chosen = choose_cases(table(ROWS), per_cell=2)
    assert chosen["image_id"].tolist() == ["h", "i", "a", "c", "e", "d", "f"]


def test_the_order_of_rows_and_other_models_do_not_matter():
    both = pd.concat([table(ROWS[::-1]), table([("z", "9", "test", "mel", "mel", 1.0)], model="resnet50")])
    before = both.copy()
    pd.testing.assert_frame_equal(choose_cases(both), choose_cases(table(ROWS)))
    pd.testing.assert_frame_equal(both, before)
    assert choose_cases(both, model="resnet50")["image_id"].tolist() == ["z"]


def test_a_model_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match="no predictions of 'vit': the table holds ensemble"):
        choose_cases(table(ROWS), model="vit")
