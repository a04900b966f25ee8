import re
from pathlib import Path

import pandas as pd
import pytest

import lesionkit
from lesionkit.data.records import (
    CLASS_NAMES,
    CLASSES,
    DATASETS,
    HAM10000,
    ISIC2019,
    PROBLEM_COLUMNS,
    TEXT,
    DataError,
    problem_table,
)


def test_official_counts_add_up_to_the_releases():
    assert HAM10000.images == 10_015
    assert ISIC2019.images == 25_331
    assert HAM10000.lesions == 7_470


def test_classes_are_named_and_in_order():
    assert CLASSES == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert tuple(CLASS_NAMES) == CLASSES


@pytest.mark.parametrize("record", DATASETS.values(), ids=DATASETS)
def test_every_official_label_is_mapped_or_said_to_be_left_out(record):
    assert set(record.official) == set(record.labels) | set(record.unmapped)
    assert set(record.labels.values()) == set(CLASSES)
    assert record.licence == "CC BY-NC 4.0" and record.citations and record.home.startswith("https://")


def test_both_keratinocyte_labels_are_akiec():
    assert ISIC2019.labels["AK"] == ISIC2019.labels["SCC"] == "akiec"


def test_records_cannot_be_changed():
    with pytest.raises(TypeError):
        HAM10000.labels["mel"] = "nv"
    with pytest.raises(AttributeError):
        HAM10000.title = "other"


def test_problem_table_has_a_row_a_file():
    table = problem_table("label not one-hot", ["a", "b"], image_id=["x", "y"], file=["f:2", "f:3"])
    assert tuple(table) == PROBLEM_COLUMNS
    assert table["remedy"].tolist() == ["a", "b"] and not table["fatal"].any()
    assert problem_table().empty and problem_table("k", "r", file=["f"])["image_id"].isna().all()


def test_data_error_says_what_where_and_the_remedy():
    error = DataError.about("missing column", "t.csv", "Fetch it again.")
    assert str(error) == "missing column (t.csv). Fetch it again."
    assert isinstance(error, ValueError) and error.problems["fatal"].tolist() == [True]
    assert DataError("other").problems.empty


def test_columns_of_text_keep_what_is_missing_whatever_pandas_calls_their_type():
    column = pd.Series(["a", None, float("nan")], dtype=object).astype(TEXT)
    assert column.isna().tolist() == [False, True, True] and (column == "a").dtype == bool
    if pd.__version__ >= "3":
        assert column.dtype == "str" == pd.Series(["a"]).dtype
    literal = re.compile(r"""(?:dtype=|astype\(|: )["']str["']""")  # pandas 2 would make "nan" of NaN
    package = Path(lesionkit.__file__).parent
    assert not [file.name for file in package.rglob("*.py") if literal.search(file.read_text(encoding="utf-8"))]
