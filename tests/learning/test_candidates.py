"""Candidates: trained once, their answers kept without their weights, and validation under the same shifts for all."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from toys import study

from lesionkit.data import phantoms, pixels, readers
from lesionkit.data.shifts import SHIFTS
from lesionkit.evidence.predictions import PROBABILITIES
from lesionkit.evidence.robustness import CLEAN, SEVERAL
from lesionkit.learning import candidates, inference, shifted, training
from lesionkit.study import Study

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


def asked(place, name, out, **changes):
    folder, index, split = place
    settings = dataclasses.replace(SMALL.as_candidate(name), **changes)
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


def test_what_only_answers_otherwise_is_not_trained_again(place, tmp_path, monkeypatch):
    answered, views_of = [], inference.logits_of_rows
    monkeypatch.setattr(inference, "logits_of_rows", lambda *given: (answered.append(given[-1]), views_of(*given))[1])
    zoom, views = asked(place, "zoom", tmp_path), asked(place, "views", tmp_path)
    assert not (tmp_path / "models" / "views").exists() and views["candidates"].attrs["cost"] == zoom["candidates"].attrs["cost"]
    assert answered == [1, 8]


def test_each_source_is_answered_without_it_and_without_its_near_duplicates(place, tmp_path):
    folder, index, split = place
    lesions = pd.Series(split["lesion_id"].unique())
    sources = dict(zip(lesions, np.resize(["one", "other"], len(lesions))))
    split = split.assign(source=split["lesion_id"].map(sources))
    twins = split["lesion_id"].isin([lesions[0], lesions[1]])
    split["group_id"] = split["group_id"].mask(twins, "twins")  # of both sources
    settings = dataclasses.replace(SMALL.as_candidate("zoom"), leave_archive_out=True)
    store = pixels.build(index, folder / "data", folder / "cache", *pixels.Input.of(settings))
    found = candidates.without_archives(store, split, settings, tmp_path / "zoom")
    learnt = split[split["split"].isin(("train", "val"))].set_index("image_id")
    for source in ("one", "other"):
        answered = found[found["shift"] == f"without {source}"]
        assert set(answered["image_id"]) == set(learnt.index[learnt["source"] == source]) and set(answered["split"]) == {"val"}
        config = training.finished(tmp_path / "zoom" / f"without_{source}").config
        rest = learnt[(learnt["source"] != source) & (learnt["group_id"] != "twins")].reset_index()
        assert config["fingerprint"] == training.fingerprint("baseline_cnn", store, rest, settings)
    assert candidates.without_archives(store, split.assign(source="one"), settings, tmp_path).empty


def test_every_image_is_under_every_shift_once_and_the_severities_are_shared(place, tmp_path):
    one, other = (asked(place, name, tmp_path / name)["shifted"] for name in ("baseline", "inside"))
    val = place[2][place[2]["split"] == "val"]
    assert set(one["shift"]) == {CLEAN, *SHIFTS, *SEVERAL} and (one.groupby("shift").size() == len(val)).all()
    assert (one["severity"] == other["severity"]).all() and set(one["severity"]) == {0, 1, 2, 3}
    assert (one["severity"] == 0).eq(~one["shift"].isin(SHIFTS)).all() and set(one["split"]) == {"val"}
    assert set(one["model"]) == {"baseline"} and set(other["model"]) == {"inside"}


def test_what_is_the_same_but_for_the_seed_is_told():
    repeated = {"zoom": {"crop": 0.3}, "again": {"seed": 7}, "zoom_again": {"after": "again", "crop": 0.3}, "other": {"crop": 0.4}}
    found = candidates.but_for_seed(dataclasses.replace(SMALL, candidate=repeated))
    assert found == {"baseline": "baseline", "zoom": "zoom", "again": "baseline", "zoom_again": "zoom", "other": "other"}


def test_another_seed_is_another_training_under_the_same_shifts(place, tmp_path, monkeypatch):
    drawn, seen = [], shifted._seen
    monkeypatch.setattr(shifted, "_seen", lambda *given: (drawn.append(seen(*given)), drawn[-1])[1])
    one, other = (asked(place, "zoom", tmp_path / str(seed), seed=seed) for seed in (SMALL.seed, SMALL.seed + 1))
    p, q = (of["shifted"][list(PROBABILITIES)].to_numpy() for of in (one, other))
    half = len(drawn) // 2
    assert all(np.array_equal(a, b) for a, b in zip(drawn[:half], drawn[half:], strict=True)) and not np.allclose(p, q)
    assert one["shifted"].attrs["made_from"] != other["shifted"].attrs["made_from"]


def test_the_shifts_that_are_told_are_those_that_were_drawn(place, tmp_path, monkeypatch):
    applied = []
    for name, shift in list(SHIFTS.items()):
        monkeypatch.setitem(SHIFTS, name, lambda image, *drawn, name=name, shift=shift: (applied.append(name), shift(image, *drawn))[1])
    monkeypatch.setattr(shifted, "ThreadPoolExecutor", OneByOne)
    told = candidates.with_shifts(asked(place, "baseline", tmp_path)["shifted"], SMALL.seed)
    several = told[told["shift"].isin(SEVERAL)]
    assert [set(applied[-3 * len(several):][3 * i : 3 * i + 3]) for i in range(len(several))] == several["shifts"].map(set).tolist()
    alone = told[~told["shift"].isin(SEVERAL)]
    assert alone["shifts"].map(set).tolist() == [{shift} & SHIFTS.keys() for shift in alone["shift"]]


class OneByOne:
    """An executor whose work is done in order."""

    def __init__(self, *workers):
        self.map = map

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


def test_a_candidate_is_known_by_the_shifts_that_its_changes_draw():
    changes = {"hair_blur": {"hair": 0.3, "blur": 0.3}, "zoom": {"crop": 0.3}, "inside": {"frame": "crop"},
               "policy": {"after": "zoom", "policy": "trivial", "crop": 0.4}}  # fmt: skip
    found = candidates.drawn_by(study(candidate=changes))
    assert found == {"hair_blur": ("hair", "blur"), "zoom": ("zoom in", "off centre"),
                     "policy": ("off centre", "exposure", "blur", "zoom in"), "inside": ()}  # fmt: skip
    assert set().union(*candidates.DRAWN.values()) <= SHIFTS.keys() and candidates.DRAWN.keys() <= Study.__dataclass_fields__.keys()
