"""Photographs of phantoms: artefacts with exact masks, which move with near-duplicates; ink changes nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesionkit.data import phantoms
from lesionkit.data.phantom_drawing import Lesion, paint
from lesionkit.data.phantom_photographs import ARCHIVES, ARTEFACTS, nudged, photograph

IMAGES, SIZE = 90, 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("phantoms") / "data"
    phantoms.write(path, images=IMAGES, size=SIZE, seed=4)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"), dtype=float)


def test_artefacts_have_masks_where_they_are(folder):
    kinds = {kind: {path.name for path in (folder / "artefacts" / kind).iterdir()} for kind in ARTEFACTS}
    assert {path.name for path in (folder / "artefacts").iterdir()} == set(ARTEFACTS)
    assert all(kinds.values()) and len(kinds["ink"]) < len(kinds["corners"]) < IMAGES
    for kind, names in kinds.items():
        for name in names:
            mask = pixels(folder / "artefacts" / kind / name)
            assert mask.shape == (SIZE, SIZE) and set(np.unique(mask)) == {0, 255}
    for name in kinds["corners"]:
        mask = pixels(folder / "artefacts" / "corners" / name) > 0
        (file,) = (folder / "ISIC_2019_Training_Input").glob(name.removesuffix("_segmentation.png") + "*")
        assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].all() and not mask[SIZE // 2, SIZE // 2]
        assert pixels(file)[mask].mean() < 0.3 * pixels(file)[~mask].mean()
        assert not (mask & (pixels(folder / "masks" / name) > 0)).any()


def test_a_near_duplicates_artefacts_move_with_it(folder):
    table = phantoms.plan(IMAGES, seed=4)
    moved = 0
    for copy in table[table["nudge"] != 0].itertuples():
        same = (table["lesion"] == copy.lesion) & (table["view"] == copy.view) & (table["nudge"] == 0)
        (original,) = table[same].itertuples()
        for kind in ARTEFACTS:
            names = [f"{row.image_id}_segmentation.png" for row in (original, copy)]
            one, two = (folder / "artefacts" / kind / name for name in names)
            assert one.exists() == two.exists()
            if one.exists():
                moved += 1
                assert (nudged(pixels(one), copy.nudge) == pixels(two)).all()
    assert moved


def view(pen=0, **chances):
    """A photograph of a plain lesion of radius 0.4 by an archive that has all artefacts at the given chances."""
    lesion = Lesion(((90, 60, 40), (80, 50, 30)), 0.9, 0.4, 0.0, 0.05, 0.0, (), (220, 180, 150))
    archive = replace(ARCHIVES["HAM"], scale=(1.0, 1.0), **{"disc": 0, "hairs": 0, "ruler": 0, "ink": 0} | chances)
    canvas = paint(lesion, archive.scale, 96, np.random.default_rng(0))
    picture, mask, found = photograph(*canvas, archive, 96, np.random.default_rng(1), np.random.default_rng(pen))
    return picture.astype(int), mask, found


def test_a_picture_differs_from_one_without_an_artefact_in_its_mask_alone():
    bare, _, nothing = view()
    inked, _, found = view(ink=1)
    assert nothing == {} and list(found) == ["ink"]
    apart = np.abs(inked - bare).max(axis=2) > 0
    assert apart[found["ink"]].mean() > 0.95 and not apart[~found["ink"]].any()
    haired, _, found = view(hairs=1, ruler=1)
    assert list(found) == ["hair", "ruler"]
    darker = haired.mean(axis=2) < 0.7 * bare.mean(axis=2)  # the lamp is another
    assert (found["hair"] | found["ruler"])[darker].all() and darker.sum() > 100


def test_ink_is_violet_or_green_beside_the_lesion_and_drawn_on_its_own():
    hues = set()
    for pen in range(12):
        picture, lesion, found = view(pen, ink=1)
        red, green, blue = picture[found["ink"]].mean(axis=0)
        assert max(green, blue) > 1.15 * red and (found["ink"] & lesion).mean() < 0.002
        hues.add("green" if green > blue else "violet")
    assert hues == {"violet", "green"}
    assert (view(1)[0] == view(2)[0]).all()


def test_what_the_disc_hides_is_in_no_other_mask():
    _, lesion, found = view(disc=1, hairs=1, ruler=1, ink=1)
    assert list(found) == ["ink", "hair", "ruler", "corners"] and 0.05 < found["corners"].mean() < 0.4
    assert not any((mask & found["corners"]).any() for mask in (lesion, found["ink"], found["hair"], found["ruler"]))


def test_pictures_without_ink_have_the_bytes_that_they_have_where_there_is_no_ink(folder, tmp_path, monkeypatch):
    dry = {name: replace(archive, ink=0) for name, archive in ARCHIVES.items()}
    monkeypatch.setattr(phantoms, "ARCHIVES", dry)
    phantoms.write(tmp_path / "dry", images=IMAGES, size=SIZE, seed=4)
    inked = {path.name.split("_seg")[0] for path in (folder / "artefacts" / "ink").iterdir()}
    assert inked and not list((tmp_path / "dry" / "artefacts" / "ink").iterdir())
    for file in (folder / "ISIC_2019_Training_Input").iterdir():
        same = file.read_bytes() == (tmp_path / "dry" / "ISIC_2019_Training_Input" / file.name).read_bytes()
        assert same == (file.stem.removesuffix("_downsampled") not in inked)
