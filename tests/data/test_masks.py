"""Lesion masks: found by id in the official layouts, and lying on their images whatever the fit."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lesionkit.data import masks, phantoms
from lesionkit.data.decoding import FITS, UnreadableImage, decode


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks") / "data"
    phantoms.write(folder, images=30, size=32, seed=1)
    return folder


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)
    return path


def segmentation(folder, lesion, image_id="ISIC_0024306"):
    return save(folder / f"{image_id}_segmentation.png", 255 * lesion)


def test_phantoms_masks_are_found_in_the_order_asked_for(archive):
    table = phantoms.plan(30, seed=1)
    names = table["file"].tolist()
    assert any(name.endswith("_downsampled") for name in names)
    lesions, found = masks.read(masks.folder_of(archive, "masks"), names, 32, "squash")
    assert lesions.shape == (len(names), 32, 32) and lesions.dtype == found.dtype == bool and found.all()
    for name, lesion in zip(table["image_id"], lesions):
        assert (lesion == (np.asarray(Image.open(archive / "masks" / f"{name}_segmentation.png")) == 255)).all()
    backwards, _ = masks.read(archive / "masks", names[::-1], 32, "squash", workers=1)
    assert (backwards == lesions[::-1]).all()


def test_lesions_differ_from_the_skin_under_their_masks(archive):
    """Melanoma of the phantoms are darker than skin: on most of the images, if the masks lie on their lesions."""
    table = phantoms.plan(30, seed=1).query("dx == 'mel'")
    lesions, _ = masks.read(archive / "masks", table["image_id"], 24, "squash")
    images = [decode(archive / "ISIC_2019_Training_Input" / f"{file}.jpg", 24, "squash") for file in table["file"]]
    darker = [image[lesion].mean() < image[~lesion].mean() - 10 for image, lesion in zip(images, lesions)]
    assert np.mean(darker) > 0.8 and len(darker) >= 5


def test_an_image_without_a_mask_is_not_found(archive):
    name = phantoms.plan(30, seed=1)["image_id"].iloc[0]
    lesions, found = masks.read(archive / "masks", ["ISIC_9999999", name], 16, "crop")
    assert found.tolist() == [False, True] and not lesions[0].any() and lesions[1].any()
    nothing, found = masks.read(archive / "masks", [], 16, "crop")
    assert nothing.shape == (0, 16, 16) and found.shape == (0,)


@pytest.mark.parametrize(("fit", "size", "rows", "columns"), [
    ("squash", 20, slice(6, 12), slice(10, 16)),  # 40 rows to 20, 60 columns to 20
    ("pad", 30, slice(11, 17), slice(15, 24)),  # halved, under a bar of 5
    ("crop", 20, slice(6, 12), slice(10, 19)),  # 10 columns cut off, then halved
    ("pad", 60, slice(22, 34), slice(30, 48)),  # as it is, under a bar of 10
    ("crop", 80, slice(24, 48), slice(40, 76)),  # 10 columns cut off, then doubled
])  # fmt: skip
def test_a_frame_that_is_not_square_by_hand(tmp_path, fit, size, rows, columns):
    lesion = np.zeros((40, 60), bool)
    lesion[12:24, 30:48] = True
    segmentation(tmp_path, lesion)
    image = save(tmp_path / "image.png", np.where(lesion[..., None], 255, 0).repeat(3, 2))
    expected = np.zeros((size, size), bool)
    expected[rows, columns] = True
    (mask,), _ = masks.read(tmp_path, ["ISIC_0024306"], size, fit)
    assert (mask == expected).all() and (mask == (decode(image, size, fit)[..., 0] >= 128)).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [50, 64, 224])
def test_a_mask_lies_on_the_lesion_of_a_photograph_decoded_at_a_smaller_scale(tmp_path, fit, size):
    y, x = np.mgrid[:450, :600]
    lesion = ((x - 340) / 90) ** 2 + ((y - 190) / 70) ** 2 < 1
    segmentation(tmp_path, lesion)
    picture = save(tmp_path / "image.jpg", np.where(lesion[..., None], (90, 50, 40), (220, 180, 150)), quality=95)
    (mask,), _ = masks.read(tmp_path, ["ISIC_0024306"], size, fit)
    dark = decode(picture, size, fit)[..., 0] < 155
    if fit == "pad":
        dark[decode(picture, size, fit)[..., 0] < 20] = False  # the bars
    centres = [np.array(np.nonzero(one)).mean(axis=1) for one in (mask, dark)]
    assert np.abs(centres[0] - centres[1]).max() < 0.1
    outline = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)
    assert not ((mask != dark) & ~outline).any() and (mask != dark).sum() < 0.2 * outline.sum()


def test_half_a_pixel_of_lesion_is_lesion_and_less_is_not(tmp_path):
    segmentation(tmp_path, np.arange(16)[None].repeat(16, 0) >= 5)  # of the third pixel of 2 px, half
    segmentation(tmp_path, np.arange(32)[None].repeat(32, 0) >= 11, "ISIC_0000001")  # of the third of 4 px, a quarter
    (half, quarter), _ = masks.read(tmp_path, ["ISIC_0024306", "ISIC_0000001"], 8, "squash")
    assert (half == (np.arange(8) >= 2)).all() and (quarter == (np.arange(8) >= 3)).all()


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "ISIC_0000001_segmentation.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImage, match="ISIC_0000001_segmentation.png: unreadable image"):
        masks.read(tmp_path, ["ISIC_0000001"], 16, "squash")
    with pytest.raises(ValueError, match=re.escape("squash, pad, crop, not 'stretch'")):
        masks.read(tmp_path, [], 16, "stretch")


def test_the_folder_is_found_below_the_data_or_by_itself_or_nested(archive, tmp_path):
    official = "HAM10000_segmentations_lesion_tschandl"
    assert masks.folder_of(archive, "masks") == archive / "masks"
    assert masks.folder_of(tmp_path, str(archive / "masks")) == archive / "masks"
    assert masks.folder_of(archive, official) is None
    shutil.copytree(archive / "masks", tmp_path / official / official)
    nested = masks.folder_of(tmp_path, official)
    assert nested == tmp_path / official / official
    ids = phantoms.plan(30, seed=1)["image_id"]
    assert (masks.read(nested, ids, 16, "pad")[0] == masks.read(archive / "masks", ids, 16, "pad")[0]).all()
