"""Tiny folders in every official layout, each kind of bad input, and the real images where present."""

from pathlib import Path

import pandas as pd
import pytest

from lesionkit.data.readers import read
from lesionkit.data.records import CLASSES, HAM10000, INDEX_COLUMNS, PROBLEM_COLUMNS

from .releases import HAM_HEADER, HAM_ROWS, ham, ham_names, images, isic2019, lines, one_hot, only


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
    assert problems.empty and set(index["source"]) == {"rosendahl"}  # of HAM10000's four, where the release names it
    pd.testing.assert_frame_equal(index.drop(columns=["path", "source"]), expected.drop(columns=["path", "source"]))


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
    assert (unknown["problem"], unknown["image_id"]) == ("label of no class", "ISIC_0000012")
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
