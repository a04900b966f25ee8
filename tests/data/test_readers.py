"""Tiny folders in every official layout, each kind of bad input, and the real images where present."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from lesionkit.data.readers import read
from lesionkit.data.records import CLASSES, HAM10000, INDEX_COLUMNS, PROBLEM_COLUMNS, DataError

HAM_HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"
HAM_ROWS = [
    "HAM_0000001,ISIC_0000001,mel,histo,80.0,male,scalp",
    "HAM_0000001,ISIC_0000002,mel,histo,80.0,male,scalp",
    "HAM_0000002,ISIC_0000003,akiec,follow_up,0.0,unknown,unknown",
    "HAM_0000003,ISIC_0000004,nv,confocal,,female,Back",
]
ISIC_LABELS = "MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK".split(",")


def images(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 6), (200, 120, 90)).save(folder / name)


def lines(file: Path, *rows: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")


def ham_names(*numbers: int) -> list[str]:
    return [f"ISIC_{number:07}.jpg" for number in numbers]


def ham(root: Path, rows=HAM_ROWS, header=HAM_HEADER) -> Path:
    images(root / "HAM10000_images", *ham_names(1, 2, 3, 4))
    lines(root / "HAM10000_metadata.csv", header, *rows)
    return root


def one_hot(image: str, label: str, labels=ISIC_LABELS) -> str:
    return ",".join([image, *(f"{float(name == label)}" for name in labels)])


def isic2019(root: Path, folder="ISIC_2019_Training_Input", extra=()) -> Path:
    images(root / folder, *ham_names(1, 10, 12), "ISIC_0000011_downsampled.jpg")
    lines(
        root / "ISIC_2019_Training_GroundTruth.csv",
        ",".join(["image", *ISIC_LABELS]),
        one_hot("ISIC_0000001", "MEL"),
        one_hot("ISIC_0000010", "AK"),
        one_hot("ISIC_0000011_downsampled", "SCC"),
        one_hot("ISIC_0000012", "UNK"),
        *extra,
    )
    lines(
        root / "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        "ISIC_0000001,30,anterior torso,HAM_0000001,female",
        "ISIC_0000010,,head/neck,BCN_0000007,male",
        "ISIC_0000011_downsampled,55,,,",
        "ISIC_0000012,55,,MSK4_0011169,",
    )
    return root


def kinds(problems: pd.DataFrame) -> dict[str, int]:
    return problems["problem"].value_counts().to_dict()


def only(problems: pd.DataFrame) -> pd.Series:
    assert len(problems) == 1, problems.to_string()
    return problems.iloc[0]


# ---- layouts


def test_dataverse_rows_become_the_index(tmp_path):
    index, problems = read(ham(tmp_path), "ham10000")
    assert tuple(index) == INDEX_COLUMNS and tuple(problems) == PROBLEM_COLUMNS and problems.empty
    assert index["path"].tolist() == [f"HAM10000_images/{name}" for name in ham_names(1, 2, 3, 4)]
    assert index["lesion_id"].tolist() == ["HAM_0000001", "HAM_0000001", "HAM_0000002", "HAM_0000003"]
    assert index["dx"].tolist() == index["source_dx"].tolist() == ["mel", "mel", "akiec", "nv"]
    assert set(index["dataset"]) == {"ham10000"} and set(index["source"]) == {"HAM10000"}
    assert index["dx_type"].tolist() == ["histo", "histo", "follow_up", "confocal"]
    # An age of 0 is an entry, an empty one and "unknown" are none.
    assert index["age"].iloc[:3].tolist() == [80, 80, 0] and index["age"].isna().sum() == 1
    assert index["sex"].fillna("NA").tolist() == ["male", "male", "NA", "female"]
    assert index["site"].fillna("NA").tolist() == ["scalp", "scalp", "NA", "back"]


@pytest.mark.parametrize(
    "name, separator, quote",
    [("HAM10000_metadata", ",", ""), ("HAM10000_metadata.tab", "\t", '"'), ("ham10000_metadata.CSV", ";", "")],
)
def test_dataverse_table_under_each_of_its_names(tmp_path, name, separator, quote):
    images(tmp_path / "HAM10000_images_part_1", *ham_names(1, 2))
    images(tmp_path / "HAM10000_images_part_2", *ham_names(3, 4))
    table = [HAM_HEADER + ",dataset", *(row + ",rosendahl" for row in HAM_ROWS)]
    lines(
        tmp_path / name,
        "\ufeff" + separator.join(f"{quote}{cell}{quote}" for cell in table[0].split(",")),
        *(separator.join(f"{quote}{cell}{quote}" for cell in row.split(",")) for row in table[1:]),
    )
    index, problems = read(tmp_path, "ham10000")
    expected, _ = read(ham(tmp_path / "plain"), "ham10000")
    assert problems.empty
    pd.testing.assert_frame_equal(index.drop(columns="path"), expected.drop(columns="path"))


def test_kaggle_folder_with_everything_twice(tmp_path):
    """Both image parts, once more in lower case, and the hmnist tables; nothing of it is an error."""
    for part, numbers in (("HAM10000_images_part_1", (1, 2)), ("HAM10000_images_part_2", (3, 4))):
        images(tmp_path / part, *ham_names(*numbers))
        images(tmp_path / part.replace("HAM", "ham") / "copy", *ham_names(*numbers))
    lines(tmp_path / "hmnist_28_28_RGB.csv", "pixel0000,label", "1,2")
    lines(tmp_path / "HAM10000_metadata.csv", HAM_HEADER, *HAM_ROWS)
    index, problems = read(tmp_path, "ham10000")
    assert index["image_id"].tolist() == [name.removesuffix(".jpg") for name in ham_names(1, 2, 3, 4)]
    assert problems.empty


def isic2018(root: Path, truth: str) -> Path:
    labels = "MEL,NV,BCC,AKIEC,BKL,DF,VASC".split(",")
    images(root / "ISIC2018_Task3_Training_Input", *ham_names(1, 2, 3))
    for extra in ("LICENSE.txt", "ATTRIBUTION.txt"):
        lines(root / "ISIC2018_Task3_Training_Input" / extra, "CC BY-NC")
    lines(
        root / truth,
        ",".join(["image", *labels]),
        one_hot("ISIC_0000001", "AKIEC", labels),
        one_hot("ISIC_0000002", "VASC", labels),
        one_hot("ISIC_0000003", "NV", labels),
    )
    return root


@pytest.mark.parametrize(
    "truth",
    [
        "ISIC2018_Task3_Training_GroundTruth.csv",
        "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv",
    ],
)
def test_isic2018_task3_with_lesion_groupings(tmp_path, truth):
    lines(
        isic2018(tmp_path, truth) / "ISIC2018_Task3_Training_LesionGroupings.csv",
        "image,lesion_id,diagnosis_confirm_type",
        "ISIC_0000001,HAM_0000009,histopathology",
        "ISIC_0000002,HAM_0000009,single image expert consensus",
        "ISIC_0000003,HAM_0000008,serial imaging showing no change",
    )
    index, problems = read(tmp_path, "ham10000")
    assert problems.empty
    assert index["dx"].tolist() == ["akiec", "vasc", "nv"]
    assert index["source_dx"].tolist() == ["AKIEC", "VASC", "NV"]
    assert index["lesion_id"].tolist() == ["HAM_0000009", "HAM_0000009", "HAM_0000008"]
    assert index["dx_type"].tolist() == ["histo", "consensus", "follow_up"]
    assert index[["age", "sex", "site"]].isna().all(axis=None)


def test_isic2018_without_groupings_says_that_a_split_can_leak(tmp_path):
    index, problems = read(isic2018(tmp_path, "ISIC2018_Task3_Training_GroundTruth.csv"), "ham10000")
    assert index["lesion_id"].tolist() == index["image_id"].tolist()
    problem = only(problems)
    assert problem["problem"] == "missing file" and not problem["fatal"]
    assert "isic_2018_task3_training_lesiongroupings.csv" in problem["remedy"] and "leak" in problem["remedy"]


@pytest.mark.parametrize("folder", ["ISIC_2019_Training_Input", "ISIC_2019_Training_Input/ISIC_2019_Training_Input"])
def test_isic2019_flat_and_nested(tmp_path, folder):
    index, problems = read(isic2019(tmp_path, folder), "isic2019")
    assert index["image_id"].tolist() == ["ISIC_0000001", "ISIC_0000010", "ISIC_0000011"]
    assert index["path"].iloc[2] == f"{folder}/ISIC_0000011_downsampled.jpg"
    assert index["dx"].tolist() == ["mel", "akiec", "akiec"]
    assert index["source_dx"].tolist() == ["MEL", "AK", "SCC"]
    assert index["source"].tolist() == ["HAM10000", "BCN_20000", "MSK"]
    assert index["lesion_id"].tolist() == ["HAM_0000001", "BCN_0000007", "ISIC_0000011"]
    assert index["dx_type"].isna().all() and index["age"].fillna(-1).tolist() == [30, -1, 55]
    unknown = only(problems)
    assert (unknown["problem"], unknown["image_id"]) == ("unknown label", "ISIC_0000012")
    assert unknown["file"] == "ISIC_2019_Training_GroundTruth.csv:5" and "'UNK'" in unknown["remedy"]


def test_both_data_sets_in_one_folder_keep_to_their_own_images(tmp_path):
    isic2019(ham(tmp_path))
    lines(
        tmp_path / "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        "ISIC_0000001,30,,,",
        "ISIC_0000010,30,,,",
    )
    internal, problems = read(tmp_path, "ham10000")
    external, _ = read(tmp_path, "isic2019")
    assert problems.empty and internal["path"].str.startswith("HAM10000_images/").all()
    assert external["path"].str.startswith("ISIC_2019_Training_Input/").all()
    # ISIC_0000001 is HAM10000's by its id; of ISIC_0000011 the metadata say nothing.
    assert external["source"].fillna("NA").tolist() == ["HAM10000", "MSK", "NA"]


def test_what_is_no_image_of_the_release_is_passed_over(tmp_path):
    ham(tmp_path)
    images(tmp_path / "masks", "ISIC_0000001_segmentation.png", "ISIC_0000002_attribute_globules.png")
    images(tmp_path / "ISIC2018_Task3_Test_Input", "ISIC_0034524.jpg")
    images(tmp_path / "__MACOSX" / "HAM10000_images", "ISIC_0000099.jpg")
    images(tmp_path, "figure.png")
    lines(tmp_path / "HAM10000_images" / "._ISIC_0000001.jpg", "resource fork")
    lines(tmp_path / "HAM10000_images" / ".DS_Store", "x")
    (tmp_path / "HAM10000_images" / "loop").symlink_to(tmp_path)
    index, problems = read(tmp_path, "ham10000")
    assert len(index) == 4 and problems.empty


def test_images_in_a_folder_of_another_name_and_in_links(tmp_path):
    images(tmp_path / "elsewhere", *ham_names(1, 2, 3, 4))
    lines(tmp_path / "data" / "HAM10000_metadata.csv", HAM_HEADER, *HAM_ROWS)
    (tmp_path / "data" / "pictures").symlink_to(tmp_path / "elsewhere")
    index, problems = read(tmp_path / "data", "ham10000")
    assert index["path"].str.startswith("pictures/").all() and problems.empty


def test_of_several_copies_the_largest_file_is_taken(tmp_path):
    ham(tmp_path)
    small = tmp_path / "HAM10000_images" / "ISIC_0000001.jpg"
    (tmp_path / "ham10000_whole").mkdir()
    (tmp_path / "ham10000_whole" / small.name).write_bytes(small.read_bytes())
    small.write_bytes(small.read_bytes()[:100])
    assert read(tmp_path, "ham10000")[0]["path"].iloc[0] == "ham10000_whole/ISIC_0000001.jpg"


# ---- bad input


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
    assert kinds(problems) == {"several rows for an image": 2, "unknown label": 1}


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


# ---- the real images


def test_real_ham10000_is_whole(real_data):
    index, problems = read(real_data / "isic84", "ham10000")
    assert (len(index), index["lesion_id"].nunique()) == (10_015, 7_470) and problems.empty
    assert index["dx"].value_counts().to_dict() == dict(HAM10000.official)
    assert index["age"].eq(0).sum() == 39 and index["image_id"].is_unique
    assert set(index["dx_type"]) == {"histo", "follow_up", "consensus", "confocal"}
    assert set(index["sex"].dropna()) == {"male", "female"}
    assert (real_data / "isic84" / index["path"].iloc[0]).exists()


def test_real_isic2019_contains_ham10000(real_data):
    index, problems = read(real_data / "isic84", "isic2019")
    internal, _ = read(real_data / "isic84", "ham10000")
    assert len(index) == 17_788 and problems.empty and set(index["dx"]) == set(CLASSES)
    shared = index[index["image_id"].isin(internal["image_id"])]
    assert len(shared) == 10_015 and set(shared["source"]) == {"HAM10000"}
    assert index["source"].value_counts().to_dict() == {"HAM10000": 10_015, "BCN_20000": 6_301, "MSK": 1_472}
    keratoses = shared[shared["image_id"].isin(internal.loc[internal["dx"] == "akiec", "image_id"])]
    assert keratoses["source_dx"].value_counts().to_dict() == {"SCC": 197, "AK": 130}
    assert index["path"].str.contains("_downsampled").sum() == 1_062
    both = shared.merge(internal, on="image_id")
    assert (both["lesion_id_x"] == both["lesion_id_y"]).all()


def test_real_ham224_has_one_image_a_lesion(real_data):
    index, problems = read(real_data / "ham224", "ham10000")
    assert len(index) == index["lesion_id"].nunique() == 5_984 and problems.empty
