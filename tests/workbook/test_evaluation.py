"""Anybody's predictions: what is read, and what is refused by name. A whole evaluation runs in test_notebooks."""

import numpy as np
import pandas as pd
import pytest
from evidence import tables

from lesionkit.evidence.predictions import PROBABILITIES, PredictionError
from lesionkit.workbook import evaluation


def labels(tmp_path, **columns):
    file = tmp_path / "labels.csv"
    pd.DataFrame({"image_id": ["a", "b"], "dx": ["mel", "nv"]} | columns).to_csv(file, index=False)
    return file


def scores(tmp_path, **columns):
    file = tmp_path / "mine.csv"
    p = dict.fromkeys(PROBABILITIES, [1 / 7, 1 / 7])
    pd.DataFrame({"image_id": ["a", "b"]} | p | columns).to_csv(file, index=False)
    return file


def test_what_labels_do_not_say_is_filled_or_left_open(tmp_path):
    told = evaluation.read_labels(labels(tmp_path, lesion_id=["7", None], age=[50, None]))
    facts = evaluation._completed(told, pd.DataFrame({"image_id": ["a"]})).set_index("image_id")
    assert facts["lesion_id"].tolist() == ["7", "b"] and facts["group_id"].tolist() == ["7", "b"]
    assert set(facts["split"]) == {"test"} and set(facts["source"]) == {"evaluated"} and facts["sex"].isna().all()


def test_labels_as_isic_and_as_ham10000_ship_them(tmp_path):
    isic = pd.DataFrame({"image": ["a", "b"], "MEL": [1.0, 0.0], "NV": [0.0, 0.0], "SCC": [0.0, 1.0]})
    isic.to_csv(tmp_path / "isic.csv", index=False)
    facts = evaluation.read_labels(tmp_path / "isic.csv")
    assert facts["dx"].tolist() == ["mel", "akiec"] and facts["source_dx"].tolist() == ["MEL", "SCC"]
    ham = {"lesion_id": ["H1"], "image_id": ["a"], "dx": ["bkl"], "dx_type": ["histo"], "localization": ["back"]}
    pd.DataFrame(ham).to_csv(tmp_path / "ham.csv", index=False)
    facts = evaluation.read_labels(tmp_path / "ham.csv").iloc[0]
    assert (facts["lesion_id"], facts["site"], facts["dx_type"]) == ("H1", "back", "histo")


@pytest.mark.parametrize("columns, message", [
    ({"dx": ["mel", "wart"]}, "image b has the label wart"), ({"image_id": ["a", "a"]}, "repeat an image, first a"),
    ({"split": ["test", "tset"]}, "split 'tset' is none of"),
])  # fmt: skip
def test_labels_that_cannot_be_are_refused_by_name(tmp_path, columns, message):
    with pytest.raises(PredictionError, match=message):
        evaluation.read_labels(labels(tmp_path, **columns))


def test_labels_without_a_truth_or_not_one_hot_are_refused(tmp_path):
    pd.DataFrame({"image": ["a"], "colour": ["red"]}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(PredictionError, match="no column dx"):
        evaluation.read_labels(tmp_path / "x.csv")
    pd.DataFrame({"image": ["a"], "MEL": [1], "NV": [1]}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(PredictionError, match="not one-hot, first a"):
        evaluation.read_labels(tmp_path / "x.csv")


@pytest.mark.parametrize("columns, message", [
    ({"y_true": ["mel", "mel"]}, "disagree on y_true of 1 rows, first image b"),
    ({"image_id": ["a", "c"]}, "1 images of the predictions are not in the labels, first c"),
    ({"p_mel": [0.9, 0.9]}, "do not sum to 1"), ({"p_mel": [np.nan, 0.1]}, "NaN"),
    ({"p_unk": [0.0, 0.0]}, "unknown class column p_unk"), ({"image_id": ["a", "a"]}, "duplicate keys"),
    ({"model": ["ensemble", "ensemble"]}, "model 'ensemble': rename it"), ({"model": ["a/b", "a/b"]}, "model 'a/b'"),
])  # fmt: skip
def test_predictions_that_break_the_contract_are_refused_by_name(tmp_path, columns, message):
    with pytest.raises(PredictionError, match=message):
        evaluation.evaluate([scores(tmp_path, **columns)], labels(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_class_column_is_named(tmp_path):
    file = scores(tmp_path)
    pd.read_csv(file).drop(columns="p_df").to_csv(file, index=False)
    with pytest.raises(PredictionError, match="missing column p_df"):
        evaluation.evaluate([file], labels(tmp_path), tmp_path / "out")


def test_training_images_are_left_out_and_a_folder_of_something_else_is_not_touched(tmp_path):
    with pytest.raises(PredictionError, match="no prediction is of split test"):
        evaluation.evaluate([scores(tmp_path)], labels(tmp_path, split=["train", "val"]), tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("!")
    with pytest.raises(PredictionError, match="holds something else"):
        evaluation.evaluate([scores(tmp_path)], labels(tmp_path), tmp_path / "mine")


def test_a_table_that_holds_its_own_truth_agrees_with_the_labels(tmp_path):
    rows = tables.rows(14)
    tables.table("mine", rows).to_csv(tmp_path / "mine.csv", index=False)
    rows.rename(columns={"y_true": "dx"}).to_csv(tmp_path / "labels.csv", index=False)
    mine = evaluation._read(tmp_path / "mine.csv")
    joined = evaluation._scored(mine, evaluation._completed(evaluation.read_labels(tmp_path / "labels.csv"), mine))
    assert joined["y_true"].tolist() == rows["y_true"].tolist() and (joined["group_id"] == joined["lesion_id"]).all()


def test_a_table_of_the_contract_needs_no_more_than_the_truth(tmp_path):
    described = tables.rows(28).assign(split=["val"] * 14 + ["test"] * 14, group_id="G")
    described["group_id"] = described["lesion_id"] + "g"
    mine = tables.table("mine", described)
    facts = pd.DataFrame({"image_id": mine["image_id"], "dx": mine["y_true"]})
    facts.to_csv(tmp_path / "truth.csv", index=False)
    scored = evaluation._scored(mine, evaluation._completed(evaluation.read_labels(tmp_path / "truth.csv"), mine))
    for column in ("split", "lesion_id", "group_id", "dataset"):
        assert scored[column].tolist() == described[column].tolist()


def test_a_lesion_on_two_sides_and_models_of_other_images_are_refused(tmp_path):
    described = tables.rows(28).assign(split=["val", "test"] * 14)  # two images a lesion
    tables.table("mine", described).to_csv(tmp_path / "mine.csv", index=False)
    described.rename(columns={"y_true": "dx"}).to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(
        PredictionError, match="tested on the same lesions: 14 values of lesion_id stand in several splits"
    ):
        evaluation.evaluate([tmp_path / "mine.csv"], tmp_path / "truth.csv", tmp_path / "out")
    both = pd.concat([tables.table("a", described.iloc[:14]), tables.table("b", described.iloc[14:])])
    both.drop(columns=["split", "y_true"]).to_csv(tmp_path / "both.csv", index=False)
    described.rename(columns={"y_true": "dx"}).assign(split="test").to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(PredictionError, match="b and a do not hold the same images"):
        evaluation.evaluate([tmp_path / "both.csv"], tmp_path / "truth.csv", tmp_path / "out")
    with pytest.raises(PredictionError, match="age '85\\+' is no number"):
        evaluation.read_labels(labels(tmp_path, age=["85+", "40"]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["mine.parquet", "mine.csv"])
def test_a_file_that_is_no_table_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"" if name.endswith("csv") else b"PAR1 no")
    with pytest.raises(PredictionError, match=f"{name}: no readable"):
        evaluation.evaluate([tmp_path / name], labels(tmp_path), tmp_path / "out")
