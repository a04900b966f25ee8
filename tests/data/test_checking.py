from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lesionkit.data.checking import check, verify


def release(root: Path, images: int = 3) -> Path:
    """A HAM10000 of melanomas, of noise so that a cut file lacks pixels."""
    rng = np.random.default_rng(0)
    (root / "HAM10000_images").mkdir(parents=True)
    names = [f"ISIC_000000{number}" for number in range(images)]
    for name in names:
        noise = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"HAM10000_images/{name}.jpg")
    table = pd.DataFrame(
        {
            "lesion_id": [f"HAM_{name}" for name in names],
            "image_id": names,
            "dx": "mel",
            "dx_type": "histo",
            "age": 50.0,
            "sex": "male",
            "localization": "back",
        }
    )
    table.to_csv(root / "HAM10000_metadata.csv", index=False)
    return root


def break_images(root: Path, *numbers: int) -> None:
    """Cut one image in two, and make text of the others."""
    for place, number in enumerate(numbers):
        file = root / f"HAM10000_images/ISIC_000000{number}.jpg"
        data = file.read_bytes()
        file.write_bytes(b"<html>not found</html>" if place else data[: len(data) // 2])


def test_a_sound_folder_has_no_problems(tmp_path):
    report = check(release(tmp_path))
    assert not report.fatal and report.problems.empty
    text = report.render()
    assert "HAM10000 (layout: Harvard Dataverse)" in text and "ISIC 2019" not in text
    assert text.endswith("No problems.\n")
    assert text.splitlines()[3].split() == ["images", "3", "of", "10,015"]
    melanoma = next(line for line in text.splitlines() if line.startswith("  mel"))
    assert melanoma.split() == ["mel", "3", "1,113", "mel"]


def test_images_that_cannot_be_decoded_are_left_out_and_named(tmp_path):
    break_images(release(tmp_path), 0, 2)
    seen = []
    report = check(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert not report.fatal and report.readings[0].index["image_id"].tolist() == ["ISIC_0000001"]
    assert report.problems["problem"].tolist() == ["unreadable image"] * 2
    assert report.problems["file"].tolist() == [f"HAM10000_images/ISIC_000000{n}.jpg" for n in (0, 2)]
    assert "truncated" in report.problems["remedy"][0] and "fetch" in report.problems["remedy"][1]
    assert "unreadable image: 2" in report.render() and seen == [(3, 3)]


def test_verify_changes_nothing_in_the_index(tmp_path):
    break_images(release(tmp_path), 1)
    index = check(tmp_path).readings[0].index
    before = index.copy()
    assert verify(index, tmp_path).empty and verify(index.iloc[:0], tmp_path).empty
    pd.testing.assert_frame_equal(index, before)


def test_no_image_left_is_fatal(tmp_path):
    break_images(release(tmp_path, 2), 0, 1)
    report = check(tmp_path)
    assert report.fatal and "no usable image: 1 (stops the study)" in report.render()


def test_folders_without_a_release_are_fatal(tmp_path):
    empty, missing = check(tmp_path), check(tmp_path / "nowhere")
    assert empty.fatal and set(empty.problems["problem"]) == {"empty folder"}
    assert "HAM10000" in empty.render() and "ISIC 2019" in empty.render()
    assert missing.fatal and str(tmp_path / "nowhere") in missing.render()
    (tmp_path / "labels.csv").write_text("image\n")
    assert set(check(tmp_path).problems["problem"]) == {"no label file"}


def test_a_table_that_lacks_its_labels_is_fatal(tmp_path):
    table = release(tmp_path) / "HAM10000_metadata.csv"
    table.write_text(table.read_text().replace("dx,", "diagnosis,"))
    report = check(tmp_path)
    assert report.fatal and "not read" in report.render() and "missing column" in report.render()


def test_of_many_problems_a_few_files_are_named(tmp_path):
    break_images(release(tmp_path, 6), 0, 1, 2, 3, 4)
    text = check(tmp_path).render()
    assert "unreadable image: 5" in text and "and 2 more" in text and "ISIC_0000003" not in text
