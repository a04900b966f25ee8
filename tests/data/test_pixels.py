import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionkit import sources
from lesionkit.data import pixels as pixels_module
from lesionkit.data.decoding import UnreadableImage, decode
from lesionkit.data.pixels import Pixels, build

RED, BLUE = (200, 0, 0), (0, 0, 200)


def save(path, array, **options):
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)
    return path


@pytest.fixture
def stripes(tmp_path):
    """A frame of 8 x 4 px: red, blue and red columns, 2, 4 and 2 px wide."""
    array = np.zeros((4, 8, 3), np.uint8)
    array[:, :2], array[:, 2:6], array[:, 6:] = RED, BLUE, RED
    return save(tmp_path / "stripes.png", array)


def test_crop_keeps_the_central_square(stripes):
    assert (decode(stripes, 4, "crop") == BLUE).all()


def test_pad_adds_black_bars_and_keeps_the_aspect(stripes):
    image = decode(stripes, 8, "pad")
    assert image.shape == (8, 8, 3) and image.dtype == np.uint8
    assert (image[:2] == 0).all() and (image[6:] == 0).all()
    assert (image[2:6] == np.asarray(Image.open(stripes))).all()


def test_squash_changes_the_aspect(stripes):
    image = decode(stripes, 4, "squash").astype(int)
    assert image.shape == (4, 4, 3)
    assert (image[:, 0, 0] > image[:, 0, 2]).all() and (image[:, 1, 2] > image[:, 1, 0]).all()
    assert (image == image[:, ::-1]).all()  # the frame is symmetric


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_a_square_image_of_the_size_is_returned_as_it_is(tmp_path, fit):
    array = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert (decode(save(tmp_path / "a.png", array), 16, fit) == array).all()


def test_reduction_is_antialiased(tmp_path):
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    image = decode(save(tmp_path / "a.png", checkers), 8, "squash")
    assert np.abs(image.astype(int) - 127.5).max() < 3


@pytest.mark.parametrize(
    "mode, ending, expected",
    [
        ("L", "png", 100),
        ("L", "jpg", 100),
        ("LA", "png", 100),
        ("RGBA", "png", 100),
        ("P", "png", 100),
        ("CMYK", "jpg", 100),
        ("1", "png", 255),
        ("I;16", "png", 100),
    ],
)
def test_every_colour_mode_becomes_rgb(tmp_path, mode, ending, expected):
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 100 * 257, np.uint16))
    else:
        grey = np.full((8, 8, 3), expected, np.uint8)
        image = Image.fromarray(grey).convert(mode)
    image.save(tmp_path / f"a.{ending}")
    decoded = decode(tmp_path / f"a.{ending}", 8, "squash").astype(int)
    assert decoded.shape == (8, 8, 3) and np.abs(decoded - expected).max() <= 2


def test_transparent_pixels_become_black(tmp_path):
    array = np.full((8, 8, 4), 255, np.uint8)
    array[:, :4, 3] = 0
    image = decode(save(tmp_path / "a.png", array), 8, "squash")
    assert (image[:, :4] == 0).all() and (image[:, 4:] == 255).all()


def test_exif_orientation_is_ignored(tmp_path, stripes):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    Image.open(stripes).save(tmp_path / "turned.png", exif=exif)
    assert (decode(tmp_path / "turned.png", 8, "pad") == decode(stripes, 8, "pad")).all()


def test_a_sliver_can_be_padded(tmp_path):
    image = decode(save(tmp_path / "a.jpg", np.full((2, 400, 3), 200)), 16, "pad")
    assert np.abs(image[8].astype(int) - 200).max() <= 2 and np.delete(image, 8, axis=0).max() == 0


def test_unknown_fit_is_named(stripes):
    with pytest.raises(ValueError, match="squash, pad, crop, not 'stretch'"):
        decode(stripes, 4, "stretch")


@pytest.mark.parametrize("content", [None, b"", b"no image", "truncated"])
def test_unreadable_files_raise_with_their_name(tmp_path, content):
    path = tmp_path / "broken.jpg"
    if content == "truncated":
        whole = save(tmp_path / "whole.jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3)))
        content = whole.read_bytes()[: -whole.stat().st_size // 3]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImage, match="broken.jpg"):
        decode(path, 32, "squash")


@pytest.fixture
def archive(tmp_path):
    """Five images, the fourth truncated, and their index."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    root.mkdir()
    for i in range(5):
        save(root / f"i{i}.jpg", rng.integers(0, 256, (40, 40, 3)))
    (root / "i3.jpg").write_bytes((root / "i3.jpg").read_bytes()[:900])
    ids = [f"i{i}" for i in range(5)]
    return root, pd.DataFrame({"image_id": ids, "path": [f"{image_id}.jpg" for image_id in ids]})


def test_store_holds_what_decode_gives_and_lists_failures(archive, tmp_path):
    root, index = archive
    pixels = build(index, root, tmp_path / "store", 16, "crop", workers=2)
    for row in (0, 1, 2, 4):
        assert (pixels.images[row] == decode(root / f"i{row}.jpg", 16, "crop")).all()
    assert (pixels.images[3] == 0).all() and not pixels.images.flags.writeable
    assert pixels.image_ids == index["image_id"].tolist()
    (failure,) = pixels.failures.to_dict("records")
    assert failure["problem"] == "unreadable image" and failure["file"] == "i3.jpg"
    assert failure["image_id"] == "i3" and failure["remedy"] and failure["fatal"] is False
    assert sorted(file.name for file in (tmp_path / "store").glob("[!.]*")) == ["16px_crop.json", "16px_crop.npy"]


def test_no_failures_still_have_the_problem_columns(archive, tmp_path):
    root, index = archive
    pixels = build(index.drop(index=3), root, tmp_path / "store", 8, "squash")
    assert len(pixels.failures) == 0
    assert list(pixels.failures) == ["image_id", "file", "problem", "remedy", "fatal"]
    assert pixels.failures["fatal"].dtype == bool


def test_store_is_reused_until_a_file_changes(archive, tmp_path, monkeypatch):
    root, index = archive
    first = build(index, root, tmp_path / "store", 16, "squash")
    monkeypatch.setattr(pixels_module, "decode", None)  # any decoding would fail
    assert build(index, root, tmp_path / "store", 16, "squash").fingerprint == first.fingerprint
    monkeypatch.undo()
    shutil.copy(root / "i0.jpg", root / "i3.jpg")
    second = build(index, root, tmp_path / "store", 16, "squash")
    assert second.fingerprint != first.fingerprint and len(second.failures) == 0


@pytest.mark.parametrize("file, anew", [("constancy.py", True), ("decoding.py", True), ("field.py", True), ("splits.py", False)])
def test_a_store_is_made_anew_when_the_code_that_decodes_has_changed(archive, tmp_path, monkeypatch, file, anew):
    root, index = archive
    code, how, decoded = sources.code_hash, (16, "squash", "crop", "shades_of_grey"), []
    first = build(index, root, tmp_path / "store", *how)
    monkeypatch.setattr(sources, "code_hash", lambda files: code(files) + "new" * any(one.name == file for one in files))
    monkeypatch.setattr(pixels_module, "decode", lambda *how: decoded.append(how) or decode(*how))
    assert build(index, root, tmp_path / "store", *how).fingerprint == first.fingerprint  # which is of content
    assert bool(decoded) == anew


def test_fingerprint_is_of_content_not_of_time_or_place(archive, tmp_path):
    root, index = archive
    first = build(index, root, tmp_path / "store", 16, "squash")
    shutil.copytree(root, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "i0.jpg", (1, 1))
    second = build(index, tmp_path / "copy", tmp_path / "other", 16, "squash", workers=1)
    assert second.fingerprint == first.fingerprint
    renamed = index.assign(image_id=index["image_id"] + "x")
    assert build(renamed, root, tmp_path / "third", 16, "squash").fingerprint != first.fingerprint


def test_another_index_replaces_the_store(archive, tmp_path):
    root, index = archive
    build(index, root, tmp_path / "store", 16, "squash")
    assert build(index.iloc[:2], root, tmp_path / "store", 16, "squash").images.shape == (2, 16, 16, 3)
    assert Pixels.open(tmp_path / "store", 16, "squash").image_ids == ["i0", "i1"]


def test_progress_ends_at_the_total(archive, tmp_path):
    calls = []
    build(*archive[::-1], tmp_path / "store", 16, "squash", progress=lambda *call: calls.append(call))
    assert calls[-1] == (5, 5)


def test_damaged_and_missing_stores_are_named(archive, tmp_path):
    root, index = archive
    with pytest.raises(FileNotFoundError, match="16px_squash"):
        Pixels.open(tmp_path / "store", 16, "squash")
    whole = build(index, root, tmp_path / "store", 16, "squash")
    sidecar = tmp_path / "store" / "16px_squash.json"
    content = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(content | {"image_ids": ["i0"]}))
    with pytest.raises(ValueError, match="damaged"):
        Pixels.open(tmp_path / "store", 16, "squash")
    mended = build(index, root, tmp_path / "store", 16, "squash")
    assert mended.fingerprint == whole.fingerprint


def test_rows_follow_the_order_asked_for(archive, tmp_path):
    pixels = build(*archive[::-1], tmp_path / "store", 8, "squash")
    assert pixels.rows(["i4", "i0", "i4"]).tolist() == [4, 0, 4] and pixels.rows([]).tolist() == []
    with pytest.raises(KeyError, match="nobody"):
        pixels.rows(["i0", "nobody"])


def test_bad_indexes_are_refused(archive, tmp_path):
    root, index = archive
    with pytest.raises(ValueError, match="'i0' has several rows"):
        build(pd.concat([index, index.iloc[:1]]), root, tmp_path / "store", 8, "squash")
    with pytest.raises(ValueError, match="empty"):
        build(index.iloc[:0], root, tmp_path / "store", 8, "squash")


def test_real_images_at_their_own_size(real_data, tmp_path):
    files = sorted((real_data / "uda").rglob("*.jpg"))
    index = pd.DataFrame(
        {"image_id": [file.stem for file in files], "path": [file.relative_to(real_data).as_posix() for file in files]}
    )
    pixels = build(index, real_data, tmp_path, 64, "crop")
    assert len(files) == 40 and pixels.failures.empty
    image = Image.open(files[0]).convert("RGB")
    side, (width, height) = min(image.size), image.size
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    full = image.resize((64, 64), Image.Resampling.BILINEAR, box=box)  # without decoding at a smaller scale
    assert np.abs(pixels.images[0].astype(int) - np.asarray(full)).mean() < 2


def test_rows_of_a_store_are_read_only_when_they_are_indexed(archive, tmp_path):
    root, index = archive
    pixels = build(index, root, tmp_path / "store", 16, "crop")
    rows = pixels.of(["i4", "i0", "i2"])
    assert len(rows) == 3 and rows.shape == (3, 16, 16, 3)
    assert (rows[1:] == pixels.images[[0, 2]]).all() and (rows[np.array([2, 0, 0])] == pixels.images[[2, 4, 4]]).all()
    with pytest.raises(KeyError, match="'i9' is not in the pixel store"):
        pixels.of(["i9"])
