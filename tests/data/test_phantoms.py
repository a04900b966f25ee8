"""Phantoms: the same bytes from a seed, official layouts, planted overlaps and exact masks."""

import json
import re
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionkit.data import checking, phantoms
from lesionkit.data.phantom_drawing import LOOKS, Lesion, paint
from lesionkit.data.phantom_photographs import nudged
from lesionkit.data.phantom_structures import STRUCTURES
from lesionkit.data.records import CLASSES

IMAGES, SIZE = 90, 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("phantoms") / "data"
    phantoms.write(path, images=IMAGES, size=SIZE, seed=3)
    return path


@pytest.fixture(scope="module")
def ham(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "HAM10000_metadata.csv")


@pytest.fixture(scope="module")
def isic(folder) -> pd.DataFrame:
    labels = pd.read_csv(folder / "ISIC_2019_Training_GroundTruth.csv")
    return labels.merge(pd.read_csv(folder / "ISIC_2019_Training_Metadata.csv"), on="image", validate="1:1")


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"), dtype=float)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(folder, tmp_path):
    phantoms.write(tmp_path / "again", images=IMAGES, size=SIZE, seed=3)
    assert contents(tmp_path / "again") == contents(folder)
    phantoms.write(tmp_path / "other", images=IMAGES, size=SIZE, seed=4)
    one, two = contents(folder), contents(tmp_path / "other")
    pictures = {name for name in set(one) & set(two) if name.endswith(".jpg")}
    assert pictures and all(one[name] != two[name] for name in pictures)


def test_layout_and_columns_are_the_official_ones(folder, ham, isic):
    assert {path.name for path in folder.iterdir()} == {
        "HAM10000_images",
        "HAM10000_metadata.csv",
        "artefacts",
        "masks",
        "phantoms.json",
        "ISIC_2019_Training_Input",
        "ISIC_2019_Training_GroundTruth.csv",
        "ISIC_2019_Training_Metadata.csv",
    }
    assert list(ham) == ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]
    headers = [path.read_text().splitlines()[0] for path in sorted(folder.glob("ISIC_2019_*.csv"))]
    assert headers == ["image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK", "image,age_approx,anatom_site_general,lesion_id,sex"]
    assert {path.stem for path in (folder / "HAM10000_images").iterdir()} == set(ham["image_id"])
    assert {path.stem for path in (folder / "ISIC_2019_Training_Input").iterdir()} == set(isic["image"])
    assert (isic[list(phantoms.ISIC_LABELS)].sum(axis=1) == 1).all()
    assert isic["image"].str.fullmatch(r"ISIC_\d{7}(_downsampled)?").all()
    assert isic["image"].str.endswith("_downsampled").any()


def test_counts_and_lesions(ham, isic):
    assert len(ham) == IMAGES == ham["image_id"].nunique() and len(isic) == IMAGES + IMAGES // 3
    assert set(ham["dx"]) == set(CLASSES) and (ham.groupby("dx")["lesion_id"].nunique() >= 3).all()
    assert {1, 2} <= set(ham["lesion_id"].value_counts()) <= {1, 2, 3, 4}
    assert (ham.groupby("lesion_id")[["dx", "sex", "dataset"]].nunique() == 1).all(axis=None)
    assert set(ham["dataset"]) == set(phantoms.PARTS.values())
    own = isic[~isic["image"].isin(ham["image_id"])]
    assert own[["MEL", "NV", "BCC", "BKL", "DF", "VASC"]].any().all() and own[["AK", "SCC"]].any(axis=None)
    assert set(own["lesion_id"].dropna().str.split("_").str[0]) <= {"BCN", "MSK4"}
    assert own["lesion_id"].isna().any()


def test_the_default_has_enough_images_of_every_class_and_another_prevalence_outside():
    table = phantoms.plan(600, seed=0)
    inside, outside = (table[table["archive"].eq("HAM") == flag] for flag in (True, False))
    assert (len(inside), len(outside)) == (600, 200) and table["image_id"].is_unique
    assert inside["dx"].value_counts().min() >= 25 and outside["dx"].value_counts().min() >= 8
    assert inside["dx"].eq("nv").mean() - outside["dx"].eq("nv").mean() > 0.08
    assert set(inside["lesion_id"]).isdisjoint(outside["lesion_id"])
    assert set(inside["lesion_id"].value_counts()) == {1, 2, 3, 4}


def test_the_external_archive_contains_the_internal_one(folder, ham, isic):
    rows = isic.set_index("image").loc[ham["image_id"]]
    for name in ham["image_id"]:
        inside = folder / "HAM10000_images" / f"{name}.jpg"
        assert inside.read_bytes() == (folder / "ISIC_2019_Training_Input" / inside.name).read_bytes()
    assert rows["lesion_id"].tolist() == ham["lesion_id"].tolist()
    labels = rows[list(phantoms.ISIC_LABELS)].idxmax(axis=1)
    assert set(labels[(ham["dx"] == "akiec").to_numpy()]) == {"AK", "SCC"}
    others = (ham["dx"] != "akiec").to_numpy()
    assert labels[others].str.lower().tolist() == ham.loc[others, "dx"].tolist()


def test_metadata_has_gaps():
    table = phantoms.plan(600, seed=0)
    assert 0 < table["age"].isna().mean() < 0.1 and 0 < (table["sex"] == "unknown").mean() < 0.1
    assert 0 < (table["localization"] == "unknown").mean() < 0.1 and (table["lesion_id"] == "").any()
    assert table.loc[table["lesion_id"] == "", "archive"].eq("MSK").all()


def test_near_duplicates_lie_under_other_lesion_ids(folder):
    table = phantoms.plan(IMAGES, seed=3)
    copies = table[table["nudge"] != 0]
    assert copies["archive"].value_counts().to_dict() == {"HAM": 3, "BCN": 3}
    inputs = folder / "ISIC_2019_Training_Input"
    for copy in copies.itertuples():
        same = (table["lesion"] == copy.lesion) & (table["view"] == copy.view) & (table["nudge"] == 0)
        (original,) = table[same].itertuples()
        assert original.lesion_id != copy.lesion_id and original.dx == copy.dx and original.archive == "HAM"
        one, two = pixels(inputs / f"{original.file}.jpg"), pixels(inputs / f"{copy.file}.jpg")
        moved = nudged(one, copy.nudge)[2:-2, 2:-2]
        assert np.corrcoef(moved.ravel(), two[2:-2, 2:-2].ravel())[0, 1] > 0.95
        assert (inputs / f"{original.file}.jpg").read_bytes() != (inputs / f"{copy.file}.jpg").read_bytes()


def test_every_image_has_its_mask(folder, isic):
    ids = isic["image"].str.removesuffix("_downsampled")
    assert {path.name for path in (folder / "masks").iterdir()} == set(ids + "_segmentation.png")
    for name, file in zip(ids, isic["image"]):
        mask = pixels(folder / "masks" / f"{name}_segmentation.png")
        picture = pixels(folder / "ISIC_2019_Training_Input" / f"{file}.jpg")
        assert mask.shape == picture.shape == (SIZE, SIZE) and set(np.unique(mask)) == {0, 255}
        assert 0.02 < (mask > 0).mean() < 0.9


def test_the_folder_reads_without_a_problem(folder):
    report = checking.check(folder)
    assert report.problems.empty and [len(reading.index) for reading in report.readings] == [IMAGES, IMAGES // 3 * 4]


def test_the_mask_of_a_round_lesion_is_its_disc():
    lesion = Lesion(((90, 60, 40), (80, 50, 30)), 0.9, 0.5, 0.0, 0.05, 0.0, (), (220, 180, 150))
    rgb, mask = paint(lesion, (1.0, 1.0), 100, np.random.default_rng(0))
    assert mask.mean() == pytest.approx(np.pi * 0.5**2 / (2 * 1.6) ** 2, rel=0.03)
    assert rgb[mask].mean() < 110 < 150 < rgb[~mask].mean()


def test_nudged_moves_down_and_right_and_back():
    image = np.arange(9).reshape(3, 3)
    assert nudged(image, 1).tolist() == [[0, 0, 1], [0, 0, 1], [3, 3, 4]]
    assert nudged(image, -1).tolist() == [[4, 5, 5], [7, 8, 8], [7, 8, 8]]


def test_looks_cover_the_classes_and_name_known_structures():
    assert tuple(LOOKS) == CLASSES == tuple(phantoms.INTERNAL) == tuple(phantoms.EXTERNAL)
    assert set().union(*(look.structures for look in LOOKS.values())) == set(STRUCTURES)
    prevalences = phantoms.INTERNAL.values(), phantoms.EXTERNAL.values()
    for shares in (*prevalences, phantoms.MULTIPLICITY, phantoms.SITE_SHARES):
        assert sum(shares) == pytest.approx(1)


def test_what_is_there_is_reused_and_never_overwritten(folder, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    phantoms.write(folder, images=IMAGES, size=SIZE, seed=3)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(FileExistsError, match=r"size=48, not 64.*delete the folder or name another"):
        phantoms.write(folder, images=IMAGES, size=64, seed=3)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match=re.escape(str(tmp_path)) + ".*name another folder"):
        phantoms.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_write_leaves_nothing_and_the_next_one_works(tmp_path, monkeypatch):
    target = tmp_path / "data"
    target.mkdir()  # an empty folder is as good as none
    with monkeypatch.context() as patch:
        patch.setattr(phantoms, "photograph", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            phantoms.write(target, images=30, size=32)
    assert list(tmp_path.iterdir()) == []
    phantoms.write(target, images=30, size=32)
    assert json.loads((target / "phantoms.json").read_text())["images"] == 30


@pytest.mark.parametrize("wrong", [{"images": 29}, {"size": 31}])
def test_too_few_images_or_pixels_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="at least 30 images of 32 pixels"):
        phantoms.write(tmp_path / "data", **wrong)
