"""Colab and Kaggle, imitated by their environment variables and folders."""

import re

import pytest
from data import releases

from lesionkit import study
from lesionkit.data import masks, readers
from lesionkit.workbook import hosts

from .attached import COLAB, KAGGLE, andrewmvd, kmader, salviohexia, unrelated, with_masks


def test_a_host_is_known_by_its_variables(host, monkeypatch):
    assert hosts.where() == ""
    host(COLAB)
    assert hosts.where() == "Colab"
    monkeypatch.setenv(KAGGLE, "Batch")  # Kaggle's image is made from Colab's
    assert hosts.where() == "Kaggle"


@pytest.mark.parametrize("at", ["kaggle/input/{slug}", "kaggle/input/datasets/{owner}/{slug}"])
@pytest.mark.parametrize("isic, slug", [(andrewmvd, "isic-2019"), (salviohexia, "isic-2019-skin-lesion-images-for-classification")])
def test_data_sets_of_kaggle_are_read_where_it_mounts_them(host, tmp_path, at, isic, slug):
    host(KAGGLE)
    kmader(tmp_path / at.format(owner="kmader", slug="skin-cancer-mnist-ham10000"))
    isic(tmp_path / at.format(owner=isic.__name__, slug=slug))
    unrelated(tmp_path)
    folder = hosts.images()
    assert {path.name for path in folder.iterdir()} == {"skin-cancer-mnist-ham10000", slug}
    internal, problems = readers.read(folder, "ham10000")
    assert problems.empty and len(internal) == 4 and internal["lesion_id"].nunique() == 3
    external, problems = readers.read(folder, "isic2019")
    assert external["image_id"].tolist() == ["ISIC_0000001", "ISIC_0000010", "ISIC_0000011"]
    assert external["source"].tolist() == ["HAM10000", "BCN_20000", "MSK"]
    assert set(external["dx"]) == {"mel", "akiec"} and "ISIC_0999999" not in problems["image_id"].tolist()
    assert all((folder / path).exists() for path in [*internal["path"], *external["path"]])


def test_the_data_set_with_masks_is_read_and_says_what_it_lacks(host, tmp_path):
    host(KAGGLE)
    place = with_masks(tmp_path / "kaggle/input/datasets/surajghuwalewala/ham1000-segmentation-and-classification")
    index, problems = readers.read(hosts.images(), "ham10000")
    assert index["dx"].tolist() == ["akiec", "nv"]
    assert problems["problem"].tolist() == ["missing file"] and "leak" in problems["remedy"][0]
    assert masks.folder_of(hosts.images(), str(place / "masks")).is_dir()  # as --set masks=DIR says it


def test_both_copies_of_ham10000_together_are_read_with_lesions(host, tmp_path):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/skin-cancer-mnist-ham10000")
    with_masks(tmp_path / "kaggle/input/ham1000-segmentation-and-classification")
    index, problems = readers.read(hosts.images(), "ham10000")
    assert problems.empty and len(index) == 4 and index["lesion_id"].nunique() == 3
    assert index["path"].str.startswith("skin-cancer").all()


def test_outlines_are_found_under_the_name_that_studies_look_for(host, tmp_path):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/skin-cancer-mnist-ham10000")
    inner = tmp_path / "kaggle/input/ham10000-lesion-segmentations" / hosts.OUTLINES / hosts.OUTLINES
    releases.images(inner, "ISIC_0000001_segmentation.png")
    assert masks.folder_of(hosts.images(), study.Study(name="any", title="any").masks).resolve() == inner
    assert len(readers.read(hosts.images(), "ham10000")[0]) == 4


def test_a_data_set_that_is_shown_under_two_names_counts_once_and_namesakes_count_twice(host, tmp_path):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/datasets/kmader/ham10000")
    (tmp_path / "kaggle/input/ham10000").symlink_to(tmp_path / "kaggle/input/datasets/kmader/ham10000")
    assert list(hosts.attached()) == ["ham10000"]
    kmader(tmp_path / "kaggle/input/datasets/other/ham10000")
    assert list(hosts.attached()) == ["ham10000", "other_ham10000"]


@pytest.mark.parametrize("place", ["content/ham", "content/drive/MyDrive/lesions/HAM10000", "kaggle/input/ham"])
def test_colab_reads_its_own_disk_a_mounted_drive_and_what_kagglehub_mounts(host, tmp_path, place):
    host(COLAB)
    kmader(tmp_path / place)
    assert len(readers.read(hosts.images(), "ham10000")[0]) == 4


def test_what_is_attached_later_is_seen(host, tmp_path):
    host(KAGGLE)
    assert hosts.images() is None
    kmader(tmp_path / "kaggle/input/ham")
    first = hosts.images()
    andrewmvd(tmp_path / "kaggle/input/isic-2019")
    assert hosts.images() != first and len(readers.read(hosts.images(), "isic2019")[0]) == 3


@pytest.mark.parametrize("layouts", readers.LAYOUTS.values())
def test_every_label_file_that_the_readers_know_is_looked_for(layouts):
    names = ["HAM10000_metadata", "HAM10000_metadata.tab", "ISIC2018_Task3_Training_GroundTruth.csv",
             "ISIC_2019_Training_GroundTruth.csv", "GroundTruth.csv"]  # fmt: skip
    for layout in layouts:
        known = [name for name in names if re.fullmatch(layout.labels, name, re.IGNORECASE)]
        assert known and all(hosts.LABELS.fullmatch(name) for name in known)
