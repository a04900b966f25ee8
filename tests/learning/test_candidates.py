"""Candidates: trained once, their answers kept without their weights, and validation under the same shifts for all."""

import shutil

import numpy as np
import pandas as pd
import pytest
from toys import study

from lesionkit.data import phantoms, pixels, readers
from lesionkit.data.shifts import SHIFTS
from lesionkit.evidence.robustness import CLEAN, SEVERAL
from lesionkit.learning import candidates, training

SMALL = study(size=32, epochs=1, backbones=("baseline_cnn",),
              candidate={"zoom": {"crop": 0.3}, "inside": {"frame": "crop"}, "views": {"after": "zoom", "tta": 8}})  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of phantoms, its index, and a split of them."""
    folder = tmp_path_factory.mktemp("candidates")
    phantoms.write(folder / "data", images=60, size=48)
    index = readers.read(folder / "data", "ham10000")[0]
    parts = np.resize(["train", "train", "val", "test"], len(index))
    split = index.assign(split=parts, group_id=index["lesion_id"])
    return folder, index, split


def asked(place, name, out):
    folder, index, split = place
    settings = SMALL.as_candidate(name)
    store = pixels.build(index, folder / "data", folder / "cache", *pixels.Input.of(settings))
    return candidates.fit_and_score(name, store, split, folder / "data", index, settings, out / "models" / name, out / "predictions")


def keep(found, name, out):
    for kind, table in found.items():
        file = out / "predictions" / kind / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(file, index=False)


def test_tables_that_are_kept_save_the_training_and_others_do_not(place, tmp_path, monkeypatch):
    found = asked(place, "zoom", tmp_path)
    keep(found, "zoom", tmp_path)
    shutil.rmtree(tmp_path / "models")
    monkeypatch.setattr(training, "fit", lambda *args, **more: pytest.fail("is trained again"))
    again = asked(place, "zoom", tmp_path)
    for kind in candidates.KINDS:
        pd.testing.assert_frame_equal(again[kind], found[kind])
        assert again[kind].attrs == found[kind].attrs and found[kind].attrs["cost"]["epochs"] == 1
    keep(found, "inside", tmp_path)  # of another setting
    with pytest.raises(pytest.fail.Exception, match="is trained again"):
        asked(place, "inside", tmp_path)
    costs = candidates.costs({"zoom": found["candidates"], "twice": found["candidates"]})
    assert costs["relative"].tolist() == [1, 1] and costs["model"].tolist() == ["zoom", "twice"]
    assert candidates.costs({}).empty


def test_what_only_answers_otherwise_is_not_trained_again(place, tmp_path):
    zoom, views = asked(place, "zoom", tmp_path), asked(place, "views", tmp_path)
    assert not (tmp_path / "models" / "views").exists() and views["candidates"].attrs["cost"] == zoom["candidates"].attrs["cost"]
    assert np.abs(views["candidates"]["p_mel"] - zoom["candidates"]["p_mel"]).max() > 1e-4


def test_every_image_is_under_every_shift_once_and_the_severities_are_shared(place, tmp_path):
    one, other = (asked(place, name, tmp_path / name)["shifted"] for name in ("baseline", "inside"))
    val = place[2][place[2]["split"] == "val"]
    assert set(one["shift"]) == {CLEAN, *SHIFTS, *SEVERAL} and (one.groupby("shift").size() == len(val)).all()
    assert (one["severity"] == other["severity"]).all() and set(one["severity"]) == {0, 1, 2, 3}
    assert (one["severity"] == 0).eq(~one["shift"].isin(SHIFTS)).all() and set(one["split"]) == {"val"}
    assert set(one["model"]) == {"baseline"} and set(other["model"]) == {"inside"}
