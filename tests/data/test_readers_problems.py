"""Bad input: each kind is named with its file and its remedy; what can be left out is, what cannot stops."""

import pandas as pd
import pytest

from lesionkit.data.readers import read
from lesionkit.data.records import DataError

from .releases import HAM_HEADER, HAM_ROWS, ham, ham_names, images, isic2019, kinds, lines, only


def test_row_without_image_and_image_without_row(tmp_path):
    ham(tmp_path, [*HAM_ROWS[:3], "HAM_0000005,ISIC_0000005,nv,histo,40,male,ear", ",,nv,,,,"])
    index, problems = read(tmp_path, "ham10000")
    assert len(index) == 3 and not problems["fatal"].any()
    found = problems.set_index("file")
    assert found["problem"].to_dict() == {
        "HAM10000_images/ISIC_0000004.jpg": "image without row",
        "HAM10000_metadata.csv:5": "row without image",
        "HAM10000_metadata.csv:6": "row without image",
    }
    assert found["image_id"].fillna("NA").tolist() == ["ISIC_0000004", "NA", "ISIC_0000005"]
    assert problems["remedy"].str.len().gt(20).all()


def test_lines_are_counted_as_the_file_has_them(tmp_path):
    _, problems = read(ham(tmp_path, ["", *HAM_ROWS, "", "HAM_9,ISIC_0000009,nv,histo,40,male,ear"]), "ham10000")
    assert only(problems)["file"] == "HAM10000_metadata.csv:8"


@pytest.mark.parametrize(
    "bad",
    [
        "1,1,0,0,0,0,0,0,0",
        "0,0,0,0,0,0,0,0,0",
        "0.5,0.5,0,0,0,0,0,0,0",
        "x,1,0,0,0,0,0,0,0",
        ",1,0,0,0,0,0,0,0",
        "2,-1,0,0,0,0,0,0,0",
    ],
)
def test_label_that_is_not_one_hot(tmp_path, bad):
    isic2019(tmp_path, extra=[f"ISIC_0000013,{bad}"])
    images(tmp_path / "ISIC_2019_Training_Input", "ISIC_0000013.jpg")
    index, problems = read(tmp_path, "isic2019")
    assert "ISIC_0000013" not in set(index["image_id"]) and len(index) == 3
    problem = only(problems[problems["problem"] == "label not one-hot"])
    assert problem["file"] == "ISIC_2019_Training_GroundTruth.csv:6" and problem["image_id"] == "ISIC_0000013"


@pytest.mark.parametrize("label", ["", "scc", "melanoma"])
def test_unknown_label(tmp_path, label):
    ham(tmp_path, [*HAM_ROWS[:3], f"HAM_0000003,ISIC_0000004,{label},histo,,female,back"])
    index, problems = read(tmp_path, "ham10000")
    problem = only(problems)
    assert len(index) == 3 and problem["problem"] == "unknown label" and repr(label) in problem["remedy"]


def test_rows_that_agree_keep_the_first(tmp_path):
    index, problems = read(ham(tmp_path, [*HAM_ROWS, HAM_ROWS[0].replace("80.0", "75")]), "ham10000")
    assert len(index) == 4 and index["age"].iloc[0] == 80
    problem = only(problems)
    assert (problem["problem"], problem["file"]) == ("several rows for an image", "HAM10000_metadata.csv:6")


@pytest.mark.parametrize("change", [("mel", "nv"), ("HAM_0000001", "HAM_0000007")])
def test_rows_that_contradict_each_other_are_all_left_out(tmp_path, change):
    index, problems = read(ham(tmp_path, [*HAM_ROWS, HAM_ROWS[0].replace(*change)]), "ham10000")
    assert index["image_id"].tolist() == ["ISIC_0000002", "ISIC_0000003", "ISIC_0000004"]
    assert kinds(problems) == {"several rows for an image": 2}
    assert problems["file"].tolist() == ["HAM10000_metadata.csv:2", "HAM10000_metadata.csv:6"]


def test_a_second_row_with_a_bad_label_contradicts_the_first(tmp_path):
    isic2019(tmp_path, extra=["ISIC_0000010,1,1,0,0,0,0,0,0,0"])
    index, problems = read(tmp_path, "isic2019")
    assert "ISIC_0000010" not in set(index["image_id"])
    assert kinds(problems)["several rows for an image"] == 2


@pytest.mark.parametrize("column", ["image_id", "dx"])
def test_missing_column_that_is_needed_stops(tmp_path, column):
    with pytest.raises(DataError, match=rf"missing column \(HAM10000_metadata.csv\).*'{column}'") as caught:
        read(ham(tmp_path, header=HAM_HEADER.replace(column, "other")), "ham10000")
    assert caught.value.problems["fatal"].tolist() == [True]


def test_missing_label_column_of_a_one_hot_table_stops(tmp_path):
    truth = isic2019(tmp_path) / "ISIC_2019_Training_GroundTruth.csv"
    truth.write_text(truth.read_text().replace("SCC", "other"))
    with pytest.raises(DataError, match="'SCC'"):
        read(tmp_path, "isic2019")


def test_isic2019_without_its_column_unk_is_read(tmp_path):
    truth = isic2019(tmp_path) / "ISIC_2019_Training_GroundTruth.csv"
    pd.read_csv(truth).iloc[:3].drop(columns="UNK").to_csv(truth, index=False)
    index, problems = read(tmp_path, "isic2019")
    assert len(index) == 3 and kinds(problems) == {"image without row": 1}


def test_missing_column_that_can_be_spared_is_a_problem(tmp_path):
    header = HAM_HEADER.replace("lesion_id", "x").replace(",age,", ",y,")
    index, problems = read(ham(tmp_path, header=header), "ham10000")
    assert index["lesion_id"].tolist() == index["image_id"].tolist() and index["age"].isna().all()
    assert kinds(problems) == {"missing column": 2} and not problems["fatal"].any()


def test_isic2019_without_metadata(tmp_path):
    (isic2019(tmp_path) / "ISIC_2019_Training_Metadata.csv").unlink()
    index, problems = read(tmp_path, "isic2019")
    assert len(index) == 3 and index["source"].isna().all() and kinds(problems)["missing file"] == 1


def test_contradictory_metadata_rows_cost_the_metadata_and_not_the_image(tmp_path):
    with (isic2019(tmp_path) / "ISIC_2019_Training_Metadata.csv").open("a") as file:
        file.write("ISIC_0000010,40,head/neck,BCN_0000008,male\n")
    index, problems = read(tmp_path, "isic2019")
    assert index.set_index("image_id").loc["ISIC_0000010", "lesion_id"] == "ISIC_0000010"
    assert kinds(problems) == {"several rows for an image": 2, "label of no class": 1}


def test_two_label_files_must_agree(tmp_path):
    ham(tmp_path)
    lines(tmp_path / "HAM10000_metadata.tab", *(row.replace(",", "\t") for row in [HAM_HEADER, *HAM_ROWS]))
    assert len(read(tmp_path, "ham10000")[0]) == 4
    lines(tmp_path / "old" / "HAM10000_metadata.csv", HAM_HEADER, *HAM_ROWS[:2])
    with pytest.raises(DataError, match="several label files .*old/HAM10000_metadata.csv"):
        read(tmp_path, "ham10000")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01\xff", b'image_id,dx\n"a,b\n'])
def test_unreadable_table_stops(tmp_path, content):
    (ham(tmp_path) / "HAM10000_metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match="unreadable table .HAM10000_metadata.csv"):
        read(tmp_path, "ham10000")


def test_folders_with_nothing_to_read_stop(tmp_path):
    with pytest.raises(DataError, match="missing folder .*nowhere"):
        read(tmp_path / "nowhere", "ham10000")
    with pytest.raises(DataError, match="empty folder .*10.7910/DVN/DBW86T"):
        read(tmp_path, "ham10000")
    images(tmp_path / "HAM10000_images", *ham_names(1))
    with pytest.raises(DataError, match="no label file"):
        read(tmp_path, "ham10000")
    with pytest.raises(DataError, match="unknown data set 'ham'; known are ham10000, isic2019"):
        read(tmp_path, "ham")


def test_label_file_without_any_image_stops_and_names_what_is_still_packed(tmp_path):
    lines(tmp_path / "HAM10000_metadata.csv", HAM_HEADER, *HAM_ROWS)
    (tmp_path / "HAM10000_images_part_1.zip").touch()
    with pytest.raises(DataError, match="no usable image .*Unpack HAM10000_images_part_1.zip") as caught:
        read(tmp_path, "ham10000")
    assert kinds(caught.value.problems) == {"row without image": 4, "no usable image": 1}
