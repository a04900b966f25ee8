"""Regions: exact masks from disk, and detectors held to them."""

from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from lesionkit.data import decoding
from lesionkit.data.phantom_drawing import draw_lesion, paint
from lesionkit.data.phantom_photographs import ARCHIVES, ARTEFACTS, photograph
from lesionkit.data.records import CLASSES
from lesionkit.explain.regions import border, corners, detected, lesion, read_artefacts

AROUND = np.ones((1, 3, 3), bool)  # a pixel to each side, no image to the next


@pytest.fixture(scope="module")
def drawn():
    """42 photographs with many artefacts, as JPEG files hold them, and their masks by kind, with "lesion"."""
    images, found = [], {kind: [] for kind in (*ARTEFACTS, "lesion")}
    archive = replace(ARCHIVES["BCN"], disc=0.4, hairs=0.5, ink=0.5, ruler=0)
    for key in range(42):
        rng, view, pen = (np.random.default_rng([5, part, key]) for part in range(3))
        canvas = paint(draw_lesion(CLASSES[key % 7], rng), archive.scale, 96, rng)
        picture, outline, artefacts = photograph(*canvas, archive, 96, view, pen)
        file = BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=archive.quality)
        images.append(np.asarray(Image.open(file)))
        for kind, parts in found.items():
            parts.append(({"lesion": outline} | artefacts).get(kind, np.zeros((96, 96), bool)))
    return np.stack(images), {kind: np.stack(parts) for kind, parts in found.items()}


@pytest.fixture(scope="module", params=[64, 96])
def seen(drawn, request):
    """The photographs at a size, what is on them, and what the detectors find."""
    images, exact = drawn
    side = (request.param, request.param)
    small = np.stack([cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in images])
    shares = {kind: np.stack([cv2.resize(m.astype(np.float32), side, interpolation=cv2.INTER_AREA) for m in parts])
              for kind, parts in exact.items()}  # fmt: skip
    return small, {kind: share > (0.5 if kind == "lesion" else 0.2) for kind, share in shares.items()}, detected(small)


def quality(found, exact):
    """Precision and recall of pixels, a pixel's shift allowed."""
    return [(a & binary_dilation(b, AROUND)).sum() / a.sum() for a, b in ((found, exact), (exact, found))]


def test_masks_are_read_in_order_and_missing_ones_are_empty(tmp_path):
    for kind, where in (("hair", np.s_[:, 3]), ("ink", (20, 30))):
        mask = np.zeros((40, 40), np.uint8)
        mask[where] = 255
        (tmp_path / "artefacts" / kind).mkdir(parents=True)
        Image.fromarray(mask).save(tmp_path / "artefacts" / kind / f"ISIC_000000{len(kind)}_segmentation.png")
    found = read_artefacts(tmp_path, ["ISIC_0000003", "ISIC_9999999", "ISIC_0000004_downsampled"], 40, "squash")
    assert sorted(found) == ["corners", "hair", "ink", "ruler"] and not found["corners"].any()
    assert found["hair"].sum() == found["hair"][2, :, 3].sum() == 40
    assert np.argwhere(found["ink"]).tolist() == [[0, 20, 30]]
    halved = read_artefacts(tmp_path, ["ISIC_0000004"], 20, "squash")["hair"]
    assert halved[0, :, 1].all()  # though it covers less than half of a pixel


def test_a_file_that_is_no_mask_is_named(tmp_path):
    (tmp_path / "artefacts" / "ink").mkdir(parents=True)
    (tmp_path / "artefacts" / "ink" / "ISIC_0000001_segmentation.png").write_bytes(b"none")
    with pytest.raises(decoding.UnreadableImage, match="ISIC_0000001"):
        read_artefacts(tmp_path, ["ISIC_0000001"], 40, "squash")


def test_without_the_folder_there_are_none(tmp_path):
    assert read_artefacts(tmp_path, ["ISIC_0000001"], 64, "squash") is None


FLOORS = [("corners", 0.98, 0.95), ("hair", 0.88, 0.75), ("ink", 0.98, 0.55)]


@pytest.mark.parametrize("kind, precision, recall", FLOORS)
def test_detectors_hold_what_they_say(seen, kind, precision, recall):
    _, exact, found = seen
    measured = quality(found[kind], exact[kind])
    assert measured[0] > precision and measured[1] > recall, (kind, measured)
    assert (found[kind].any((1, 2)) & ~exact[kind].any((1, 2))).sum() <= 2


def test_the_lesion_is_where_it_is(seen):
    images, exact, _ = seen
    found, true = lesion(images), exact["lesion"]
    overlap = (found & true).sum((1, 2)) / (found | true).sum((1, 2))
    assert np.median(overlap) > 0.8 and (overlap < 0.4).mean() < 0.1


def test_larger_images_give_what_smaller_ones_give(drawn):
    first = drawn[0][:6]
    images = np.repeat(np.repeat(first, 3, 1), 3, 2)  # 288 px
    for large, small in zip((*detected(images).values(), lesion(images)), (*detected(first).values(), lesion(first))):
        assert large.shape == (6, 288, 288) and (large[:, 1::3, 1::3] == small).all()


def plain(n=1, side=96):
    """Skin with a little noise, and coordinates y, x."""
    skin = np.random.default_rng(0).normal((215, 170, 150), 4, (n, side, side, 3)).clip(0, 255).astype(np.uint8)
    return skin, *np.mgrid[:side, :side]


def test_a_long_dark_line_is_hair_and_a_vessel_a_short_line_dots_and_a_strip_at_the_edge_are_not():
    skin, y, x = plain(5)
    line = np.abs(y - 30 - 0.4 * x) < 1.2
    skin[0, line] = (50, 36, 32)
    skin[1, line] = (180, 50, 56)  # a vessel
    skin[2, line & (x > 40) & (x < 60)] = (50, 36, 32)
    skin[3, line & (x % 12 < 3)] = (50, 36, 32)
    skin[4, 1:4] = (20, 10, 10)
    hair = detected(skin)["hair"]
    assert hair.any((1, 2)).tolist() == [True, False, False, False, False]
    assert (hair[0] & line).sum() > 0.9 * line.sum() and (hair[0] & ~line).sum() < 0.1 * line.sum()


def test_blue_is_ink_beside_the_centre_but_not_in_it_nor_in_blue_light():
    skin, y, x = plain(4)
    beside, centre = np.hypot(y - 14, x - 20) < 6, np.hypot(y - 44, x - 50) < 6
    skin[0, beside] = skin[1, centre] = (60, 60, 160)
    skin[2] = (skin[2] * (0.6, 0.9, 1.2)).clip(0, 255)
    skin[2, beside] = (40, 50, 170)
    skin[3, beside] = (90, 96, 120)  # as a veil
    ink = detected(skin)["ink"]
    assert (ink[0] == beside).all() and ink.any((1, 2)).tolist() == [True, False, False, False]


def test_a_dark_lesion_in_a_frame_is_not_of_it():
    skin, y, x = plain()
    disc, spot = np.hypot(y - 47.5, x - 47.5) < 44, np.hypot(y - 47.5, x - 60) < 14
    skin[0, spot] = (60, 40, 36)
    skin[0, ~disc] = 4
    assert (detected(skin)["corners"][0] == ~disc).all() and (corners(skin)[0] == ~disc).all()
    found = lesion(skin)[0]
    assert (found & spot).sum() > 0.9 * (found | spot).sum()


def test_plain_skin_has_nothing():
    skin, *_ = plain(2, 64)
    assert not any(mask.any() for mask in detected(skin).values())
    assert not any(mask.any() for mask in detected(np.zeros_like(skin)).values())
    assert not lesion(np.full_like(skin, 180)).any()


def test_the_answer_does_not_depend_on_the_other_images(seen):
    images, _, found = seen
    alone = detected(images[7:8])
    assert all((alone[kind] == found[kind][7:8]).all() for kind in found)
    assert (lesion(images[7:8]) == lesion(images[5:9])[2:3]).all()


def test_no_image_gives_no_mask():
    none = np.zeros((0, 300, 300, 3), np.uint8)
    assert {mask.shape for mask in (*detected(none).values(), lesion(none), corners(none))} == {(0, 300, 300)}


@pytest.mark.parametrize("guess", [detected, lesion])
def test_images_too_small_for_detectors_are_refused_but_a_frame_is_seen(guess):
    skin, y, x = plain(1, 32)
    skin[0, np.hypot(y - 15.5, x - 15.5) > 14] = 4
    with pytest.raises(ValueError, match="images of 32 px are too small for detectors: give 64 px or more"):
        guess(skin)
    assert (corners(skin)[0] == (skin[0, ..., 0] == 4)).all()


def test_the_border_is_a_tenth_of_the_side():
    ring = border(2, 50)
    assert ring.shape == (2, 50, 50) and ring[0].sum() == 50**2 - 40**2 and not ring[1, 5:45, 5:45].any()


def test_images_of_another_kind_are_refused():
    images = np.zeros((1, 80, 80, 3), np.uint8)
    with pytest.raises(ValueError, match="images are float64"):
        detected(images / 255)
