"""The black frame: found, boxed and cropped away."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionkit.data import decoding, field, phantoms
from lesionkit.data.frames import boxes, framed, framed_files

SKIN = (210, 160, 140)


def frame_box(image):
    """The box in whole pixels."""
    return tuple(round(share * side) for share, side in zip(field.frame_box(image), 2 * image.size))


def decode_cropped(path, size, fit):
    return decoding.decode(path, size, fit, "crop")


def disc(size=96, radius=0.8, centre=(0.0, 0.0), width=None, lesion=0.0):
    """Skin in a disc, black outside; radius, centre and the radius of a dark lesion in half frames."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : (width or size) * 1j]
    image = np.zeros((*x.shape, 3), np.uint8)
    image[np.hypot(x - centre[0], y - centre[1]) < radius] = SKIN
    image[np.hypot(x, y) < lesion] = (60, 40, 40)
    return image


@pytest.mark.parametrize("size", [32, 64, 96])
@pytest.mark.parametrize("radius", [0.5, 0.9, 1.2])
def test_a_disc_in_black_is_found_at_every_size(size, radius):
    assert framed(disc(size, radius)[None]).tolist() == [True]


def test_a_dark_lesion_in_the_centre_hides_no_frame():
    assert framed(disc(radius=0.9, lesion=0.4)[None])[0]


def test_no_frame_is_found_where_none_is():
    plain = disc(radius=2)
    large = disc(radius=2, lesion=0.9)  # a dark lesion nearly as large as the image
    vignette = plain * np.linspace(1, 0.5, 96)[None, :, None]
    corner = plain.copy()
    corner[:40, :40] = 0  # one black corner is no frame
    missed = disc(radius=1.1, centre=(-0.4, -0.4))  # the disc reaches into a corner
    night = np.zeros((96, 96, 3), np.uint8)
    images = np.stack([plain, large, vignette.astype(np.uint8), corner, missed, night])
    assert framed(images).tolist() == [False] * 6
    assert framed(images[:0]).shape == (0,)


def test_the_box_is_the_square_in_the_circle():
    image = Image.fromarray(disc(400, 0.8))
    left, upper, right, lower = frame_box(image)
    inscribed = 0.8 / np.sqrt(2) * 200  # half a side, px
    assert right - left == pytest.approx(lower - upper, abs=6)
    assert inscribed - 12 <= (right - left) / 2 <= inscribed
    assert (np.asarray(image.crop((left, upper, right, lower))) > 0).all()


@pytest.mark.parametrize("centre", [(0.1, 0.0), (-0.08, 0.12), (0.0, -0.15)])
def test_nothing_black_is_left_off_the_centre_nor_in_a_frame_that_is_not_square(centre):
    image = Image.fromarray(disc(240, 0.75, centre, width=320))
    box = frame_box(image)
    assert (np.asarray(image.crop(box)) > 0).all()
    assert (box[2] - box[0]) * (box[3] - box[1]) > 0.15 * 240 * 320


def test_an_image_without_a_frame_is_left_whole():
    assert frame_box(Image.fromarray(disc(80, 2, width=100))) == (0, 0, 100, 80)
    assert frame_box(Image.new("RGB", (50, 40))) == (0, 0, 50, 40)


def test_a_dark_lesion_at_the_edge_shrinks_the_box_little():
    image = disc(200, 0.8)
    image[110:, 110:][image[110:, 110:, 0] > 0] = (40, 30, 30)  # a quarter of the disc
    left, upper, right, lower = frame_box(Image.fromarray(image))
    assert right - left > 0.75 * 200 * 0.8 / np.sqrt(2)  # of the side of the square in the circle


def test_a_cropped_image_is_the_inside_of_the_disc_and_one_without_a_frame_that_of_decode(tmp_path):
    Image.fromarray(disc(200, 0.8)).save(tmp_path / "disc.png")
    Image.fromarray(np.random.default_rng(0).integers(100, 200, (60, 80, 3), np.uint8)).save(tmp_path / "plain.png")
    for fit in decoding.FITS:
        inside = decode_cropped(tmp_path / "disc.png", 32, fit)
        assert inside.shape == (32, 32, 3) and inside.dtype == np.uint8
        assert (inside == SKIN).all()
        plain = tmp_path / "plain.png"
        assert (decode_cropped(plain, 32, fit) == decoding.decode(plain, 32, fit)).all()
    assert framed_files([tmp_path / "disc.png", tmp_path / "plain.png"]).tolist() == [True, False]


def test_bad_files_and_fits_are_named(tmp_path):
    (tmp_path / "none.jpg").write_bytes(b"no image")
    for read in (lambda path: decode_cropped(path, 32, "squash"), lambda path: framed_files([path])):
        with pytest.raises(decoding.UnreadableImage, match="none.jpg"):
            read(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="not 'stretch'"):
        decode_cropped(tmp_path / "none.jpg", 32, "stretch")


def test_phantoms_with_a_disc_are_found_and_cropped(tmp_path):
    phantoms.write(tmp_path / "data", images=150, size=48)
    files = sorted((tmp_path / "data" / "ISIC_2019_Training_Input").iterdir())
    table = phantoms.plan(150, 0).set_index("file")["look"]
    found = pd.Series(framed_files(files), index=[file.stem for file in files])
    shares = found.groupby(table).mean()
    assert shares["HAM"] < 0.1 and 0.4 < shares["BCN"] < 0.8  # drawn with probabilities 0.02 and 0.6
    for file in [file for file in files if found[file.stem]][:12]:
        dark = [(image.mean(2)[[0, 0, -1, -1], [0, -1, 0, -1]] < 25).sum()
                for image in (decoding.decode(file, 48, "squash"), decode_cropped(file, 48, "squash"))]  # fmt: skip
        assert dark[0] == 4 and dark[1] <= 1  # black corners before, at most a dark lesion's after


def test_real_frames_are_where_the_archive_is_known_for_them(real_data):
    folder = real_data / "isic84" / "ISIC_2019_Training_Input"
    files = sorted(folder.glob("*.jpg"))[::40]
    found = framed_files(files)
    assert 0.1 < found.mean() < 0.25  # 2,846 of 7,773 external images and 266 of HAM10000's 10,015
    images = np.stack([decode_cropped(file, 64, "squash") for file, has in zip(files, found) if has])
    assert framed(images).mean() < 0.05


def test_boxes_of_files_are_those_of_the_images(tmp_path):
    image = Image.fromarray(disc(200, 0.8, width=260))
    image.save(tmp_path / "disc.png")
    Image.new("RGB", (50, 40)).save(tmp_path / "plain.png")
    assert boxes([tmp_path / "disc.png", tmp_path / "plain.png"]) == [field.frame_box(image), (0, 0, 1, 1)]
    assert field.part(image, None) is image and field.part(image, field.frame_box(image)).size[0] < 260
