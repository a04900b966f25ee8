import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from lesionkit.data.duplicates import CORRELATION, near_duplicates
from lesionkit.data.pixels import build
from lesionkit.data.readers import read
from lesionkit.data.store import Rows

# The pairs of HAM10000 that were seen to be one lesion under two ids, the surest first.
KNOWN = [
    ("ISIC_0030074", "ISIC_0025226"),
    ("ISIC_0025387", "ISIC_0029880"),
    ("ISIC_0027027", "ISIC_0029036"),
    ("ISIC_0033421", "ISIC_0033481"),
    ("ISIC_0027636", "ISIC_0027994"),
    ("ISIC_0027820", "ISIC_0028209"),
    ("ISIC_0032647", "ISIC_0027689"),
    ("ISIC_0033556", "ISIC_0032634"),
    ("ISIC_0026904", "ISIC_0025281"),
    ("ISIC_0026560", "ISIC_0031838"),
    ("ISIC_0034248", "ISIC_0034228"),
    ("ISIC_0033173", "ISIC_0029152"),
]


def skin(count, seed, side=84):
    """Blobs on textured skin: all alike at a distance, each with its own texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    blob = 120 / (1 + np.exp(-(np.hypot(x, y)[None] - rng.uniform(0.2, 0.3, (count, 1, 1))) * 40))
    texture = ndimage.gaussian_filter(rng.normal(size=(count, side, side)), (0, 1.3, 1.3)) * 45
    return np.clip((60 + blob + texture)[..., None] + [30, 0, -10], 0, 255).astype(np.uint8)


def ids(prefix, images):
    return [f"{prefix}{i}" for i in range(len(images))]


def jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def resized(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side), 2).resize(image.shape[:2], 2))


CHANGES = {
    "the same": lambda image: image,
    "re-encoded": lambda image: jpeg(image, 60),
    "shifted": lambda image: np.pad(image, ((2, 0), (0, 1), (0, 0)), "edge")[:-2, 1:],
    "shifted far": lambda image: np.pad(image, ((7, 0), (5, 0), (0, 0)), "edge")[:-7, :-5],
    "brighter": lambda image: np.clip(image * 1.15, 0, 255).astype(np.uint8),
    "other colours": lambda image: np.clip(image * [1.0, 0.9, 1.1] + [5, 0, -8], 0, 255).astype(np.uint8),
    "half the resolution": lambda image: resized(image, 56),
    "half turn": lambda image: image[::-1, ::-1],
    "zoomed": lambda image: np.asarray(Image.fromarray(image).resize((84, 84), 2, box=(3, 3, 81, 81))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_planted_copies_are_found_and_nothing_else(change):
    originals = skin(40, seed=0)
    copies = np.stack([CHANGES[change](image) for image in originals])
    found = near_duplicates(originals, ids("a", originals), copies, ids("b", copies))
    assert sorted(zip(found["image_a"], found["image_b"])) == sorted((f"a{i}", f"b{i}") for i in range(40))
    assert found["correlation"].between(CORRELATION, 1).all() and found["correlation"].is_monotonic_decreasing


def test_different_images_are_no_pairs():
    images = skin(300, seed=1)
    found = near_duplicates(images, ids("a", images))
    assert len(found) == 0 and list(found) == ["image_a", "image_b", "hamming", "correlation"]


def test_within_one_set_each_pair_comes_once():
    images = skin(30, seed=2)
    images = np.concatenate([images, images[[4]], CHANGES["zoomed"](images[9])[None]])
    found = near_duplicates(images, ids("a", images))
    assert list(zip(found["image_a"], found["image_b"])) == [("a4", "a30"), ("a9", "a31")]
    assert found["hamming"].iloc[0] == 0 and found["correlation"].iloc[0] == pytest.approx(1, abs=1e-2)


def test_blank_images_are_no_pairs():
    images = np.zeros((4, 32, 32, 3), np.uint8)
    images[2:] = 90
    assert near_duplicates(images, ids("a", images)).empty


@pytest.mark.parametrize("side", [32, 64, 96, 224])
def test_any_size_of_images(side):
    images = skin(6, seed=3, side=84)
    images = np.stack([np.asarray(Image.fromarray(image).resize((side, side), 2)) for image in images])
    found = near_duplicates(images, ids("a", images), images[::-1], ids("b", images))
    assert set(zip(found["image_a"], found["image_b"])) == {(f"a{i}", f"b{5 - i}") for i in range(6)}


def test_inputs_are_not_changed():
    images = skin(5, seed=4)
    before = images.copy()
    near_duplicates(images, ids("a", images))
    assert (images == before).all()


def test_real_pairs_with_different_lesion_ids(real_data, tmp_path):
    """Among 1,430 other images: no more, no fewer."""
    index, _ = read(real_data / "isic84", "ham10000")
    known = {frozenset(pair) for pair in KNOWN}
    chosen = index["image_id"].isin(set().union(*known)) | (index.index % 7 == 0)
    index = index[chosen].reset_index(drop=True)
    images = build(index, real_data / "isic84", tmp_path, 84, "squash").images
    found = near_duplicates(images, index["image_id"])
    lesion = index.set_index("image_id")["lesion_id"]
    across = found[lesion[found["image_a"]].to_numpy() != lesion[found["image_b"]].to_numpy()]
    assert {frozenset(pair) for pair in zip(across["image_a"], across["image_b"])} == known


def test_rows_of_a_store_give_what_an_array_gives():
    images = skin(40, seed=5)
    images[7] = images[3]
    rows = np.random.default_rng(0).permutation(40)
    pd.testing.assert_frame_equal(near_duplicates(Rows(images, rows), ids("a", rows)), near_duplicates(images[rows], ids("a", rows)))
