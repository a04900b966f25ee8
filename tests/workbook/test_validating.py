"""A run on somebody's own images: the run's own are taken out and counted, the rest is predicted as `predict` does.

The notebooks are not run here but in test_notebooks.
"""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from explain.saved import saved_run
from PIL import Image

from lesionkit.data import frames, own, phantoms, pixels, readers, splits
from lesionkit.data.records import DataError
from lesionkit.evidence import predictions
from lesionkit.evidence.predictions import PredictionError
from lesionkit.learning import extras, inference
from lesionkit.workbook import evaluation, hosts, pipeline, validating
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.caveats import SYNTHETIC, caveat
from lesionkit.workbook.manifest import read_manifest, update_manifest

SIZES = {"baseline_cnn": 32, "test_resnet": 64}
NOTE = "Drawn by a program"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two models that nobody has trained, with its images, its split and its predictions."""
    folder = saved_run(tmp_path_factory.mktemp("run") / "toy", SIZES, size=64, resamples=100, seed=3)
    images = folder.parent / "images"
    phantoms.write(images, 60, 96, 1)
    (folder / "data.txt").write_text(f"{images}\n")
    index = readers.read(images, "ham10000")[0]
    table = splits.study_table(splits.split(index, None, seed=1), index, index.iloc[:0])
    run = Run.of(folder, "test")
    run.save_csv(index, "splits", "index.csv")
    run.save_csv(table, "splits", "split.csv")
    for name, size in SIZES.items():
        store = pixels.build(index, images, folder / "cache", size, "squash")
        model, config = inference.load(folder / "models" / name)
        run.save_predictions(extras.scored(model, config, store, table[table["split"] != "train"])[0], name)
    return folder


@pytest.fixture
def mine(tmp_path, run):
    """Own images in sub-folders with a table in other words; the last three are training images of the run, saved anew."""
    phantoms.write(tmp_path / "drawn", 40, 96, 2)
    drawn = readers.read(tmp_path / "drawn", "ham10000")[0].assign(root=tmp_path / "drawn")
    theirs = Run.of(run, "test").index().merge(Run.of(run, "test").split()[["image_id", "split"]])
    theirs = theirs[theirs["split"] == "train"].drop_duplicates("lesion_id").tail(3).assign(root=run.parent / "images")
    rows = pd.concat([drawn, theirs], ignore_index=True)
    lines = ["Bild;Befund;Fall"]
    for k, row in rows.iterrows():
        file = tmp_path / "mine" / f"d{k % 3}" / f"P{k}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.open(row["root"] / row["path"]).save(file, quality=80)
        lines.append(f"d{k % 3}\\P{k}.jpg;{row['dx'].upper()};{row['lesion_id']}{'xy'[k // 40]}")
    (tmp_path / "mine" / "d0" / "P99.jpg").write_text("no image")
    lines += ["P99;nv;F", "P98;nv;F", "P0;Narbe;F", "P0.jpg;Narbe;F"]
    (tmp_path / "mine.csv").write_text("\n".join(lines), encoding="cp1252")
    (tmp_path / "mine.toml").write_text(f'note = "{NOTE}"\n[columns]\nimage="Bild"\nlabel="Befund"\nlesion="Fall"\n[labels]\nNarbe=""\n')
    return tmp_path / "mine", tmp_path / "mine.csv", tmp_path / "out", str(tmp_path / "mine.toml")


@pytest.fixture
def asked(monkeypatch):
    """What the pipeline was asked for, in its place."""
    seen = []
    monkeypatch.setattr(pipeline, "run_study", lambda study, **more: seen.append((study, more)))
    return seen


def test_the_runs_own_images_are_taken_out_and_everything_is_counted(run, mine, asked):
    said = []
    validating.validate(run, *mine, say=said.append)
    removed = pd.read_csv(mine[2] / "splits" / "external_set.csv").set_index("step")
    assert removed.loc["several rows for an image", "removed"] == 3 and removed.loc["row without image", "removed"] == 1
    assert removed.loc["unreadable image", "removed"] == 1 and removed.loc["looks like an image of the run", "removed"] == 3
    assert (removed["remaining"].shift().fillna(47) - removed["removed"]).tolist() == removed["remaining"].tolist()
    split, index = (pd.read_csv(mine[2] / "splits" / f"{name}.csv") for name in ("split", "index"))
    outside = split[split["split"] == "external"]
    assert len(outside) == removed["remaining"].iloc[-1] == 39 and set(outside["image_id"]) <= {f"P{k}" for k in range(1, 40)}
    assert index["image_id"].is_unique and set(index["image_id"]) == set(split["image_id"])
    named = pd.read_csv(mine[2] / "splits" / "exclusions.csv").query("problem == 'image of the run'")
    ids = Run.of(run, "test").split().query("split == 'train'")["image_id"]
    assert sorted(named["image_id"]) == ["P40", "P41", "P42"]
    assert all(any(one in remedy for one in ids) for remedy in named["remedy"])
    assert "47 rows, 39 external images" in said[0] and "3 looks like an image of the run" in said[0]


def test_predictions_are_those_of_predict_beside_the_runs_own(run, mine, asked):
    images, _, out, _ = mine
    validating.validate(run, *mine, say=lambda line: None)
    files = {f"P{k}": images / f"d{k % 3}" / f"P{k}.jpg" for k in range(1, 40)}
    expected = inference.predict_files(run, list(files.values()))[0].query("model != 'ensemble'")
    expected["image_id"] = expected["file"].map({str(file): name for name, file in files.items()})
    table = Run.of(out, "03").predictions() if (out / "study.json").exists() else None
    outside = table[table["split"] == "external"].merge(expected, on=["image_id", "model"], suffixes=("", "_predict"))
    assert len(outside) == 2 * 39 and table["energy"].notna().all()
    for name in predictions.PROBABILITIES:
        assert np.allclose(outside[name], outside[f"{name}_predict"], atol=1e-5)
    before = Run.of(run, "03").predictions()
    kept = table[table["split"] != "external"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before[kept.columns], check_like=True, check_dtype=False)


def test_the_study_says_what_must_be_said_and_keeps_the_runs_settings(run, mine, asked, tmp_path):
    validating.validate(run, *mine, say=lambda line: None)
    [(study, more)] = asked
    settings = Run.of(mine[2], "03").study
    assert more["only"] == ["03", "04"] and study == str(mine[2] / "out.toml")
    assert settings.given and settings.title == "toy on 39 images of mine" and (settings.seed, settings.resamples) == (3, 100)
    assert caveat(settings) == NOTE
    settings = json.loads((run / "study.json").read_text()) | {"phantoms": 60}
    trained = Run(Run.of(run, "x").study.__class__(**settings), run, None, "x")
    found = own.recognise(mine[0], mine[1], mine[3])
    outside = validating.Outside(found.reading.index, None, None, None)
    assert validating._settings(trained, found, outside)["note"] == f"{NOTE}. Models of study toy. {SYNTHETIC}"


def test_predictions_are_kept_while_nothing_changes(run, mine, asked, monkeypatch):
    loaded, load = [], inference.load
    monkeypatch.setattr(inference, "load", lambda folder: loaded.append(folder.name) or load(folder))
    for expected in (list(SIZES), []):
        loaded.clear()
        validating.validate(run, *mine, say=lambda line: None)
        assert loaded == expected
    mine[1].write_text(mine[1].read_text(encoding="cp1252").replace(";NV;", ";Naevus;"), encoding="cp1252")
    validating.validate(run, *mine, say=lambda line: None)
    assert loaded == list(SIZES) and len(list((mine[2] / "cache" / "predictions").rglob("*.parquet"))) == 4


def test_images_with_the_runs_ids_are_taken_out_and_pixels_are_decoded_again_or_said_to_be_missing(run, mine, asked, tmp_path):
    name = Run.of(run, "test").split()["image_id"].iloc[0]
    (mine[0] / "d1" / "P1.jpg").rename(mine[0] / f"{name}.jpg")
    mine[1].write_text(mine[1].read_text(encoding="cp1252").replace("d1\\P1.jpg", name), encoding="cp1252")
    bare = tmp_path / "bare"
    bare.mkdir()
    for part in ("models", "splits", "predictions", "study.json", "data.txt"):
        (bare / part).symlink_to(run / part)
    for there in (True, False):
        validating.validate(bare, *mine, say=lambda line: None)
        removed = pd.read_csv(mine[2] / "splits" / "external_set.csv").set_index("step")["removed"]
        assert removed["id of an image of the run"] == 1
        assert (removed.get("looks like an image of the run") == 3) == there == (validating.NOT_LOOKED_FOR not in removed)
        (bare / "data.txt").unlink(missing_ok=True)
    assert not (bare / "cache").exists()  # nothing is written into a run


def test_images_of_the_run_that_cannot_be_read_are_not_taken_for_compared(run, mine, asked, tmp_path):
    """A black image is like no other: pixels of images that are gone would find no twin, and training images would be scored."""
    trained, bare = Run.of(run, "test"), tmp_path / "bare"
    images = trained.index().merge(trained.split()[["image_id", "split"]])
    for part in ("models", "splits", "predictions", "study.json"):
        (bare / part).parent.mkdir(exist_ok=True)
        (bare / part).symlink_to(run / part)
    shutil.copytree(run.parent / "images", tmp_path / "moved")
    (bare / "data.txt").write_text(str(tmp_path / "moved"))
    lost = images[images["split"] == "train"].drop_duplicates("lesion_id")["path"].iloc[-1]
    (tmp_path / "moved" / lost).unlink()
    for gone, twins in ((1, 2), (len(images), None)):
        said = []
        validating.validate(bare, *mine, say=said.append)
        removed = pd.read_csv(mine[2] / "splits" / "external_set.csv").set_index("step")["removed"]
        expected = validating.NOT_ALL.format(gone, len(images)) if twins else validating.NOT_LOOKED_FOR
        assert removed.index[-1] == expected and said[0].endswith(expected) and removed.get("looks like an image of the run") == twins
        for file in (tmp_path / "moved").rglob("*.jpg"):
            file.unlink()


def test_what_an_earlier_validation_laid_there_and_this_one_does_not_is_removed(run, mine, asked, monkeypatch):
    out, real = mine[2], frames.framed_files
    monkeypatch.setattr(frames, "framed_files", lambda files: np.arange(len(files)) < 5)
    validating.validate(run, *mine, say=lambda line: None)
    framed = Run.of(out, "04b")
    assert len(framed.versions("unframed")) == 2 * 5
    old = Run.of(out, "04_external_validation")
    old.table(pd.DataFrame({"x": [1]}), "drop")
    update_manifest(out, "steps", {"04_external_validation": {}})
    monkeypatch.setattr(frames, "framed_files", real)
    validating.validate(run, *mine, say=lambda line: None)
    assert Run.of(out, "04b").versions("unframed").empty and (out / "tables" / "04_drop.csv").exists()
    before = Run.of(run, "x").predictions().query("split == 'test'")
    before.to_csv(out.parent / "mine_too.csv", index=False)
    before.drop_duplicates("image_id").rename(columns={"y_true": "dx"})[["image_id", "dx"]].to_csv(out.parent / "truth.csv", index=False)
    evaluation.evaluate([out.parent / "mine_too.csv"], out.parent / "truth.csv", out, say=lambda line: None)
    left = read_manifest(out)
    assert sorted(path.name for path in (out / "splits").iterdir()) == ["index.csv", "split.csv"] and not left["steps"]
    assert not (out / "tables" / "04_drop.csv").exists() and all((out / path).exists() for path in left["artifacts"])


@pytest.mark.parametrize("where", ["here", "Kaggle"])
def test_decoded_pixels_lie_where_a_run_keeps_them(run, mine, asked, monkeypatch, tmp_path, where):
    if where == "Kaggle":
        monkeypatch.setattr(hosts, "cache", lambda folder: tmp_path / "disk" / folder.name)
    validating.validate(run, *mine, say=lambda line: None)
    assert (mine[2] / "cache").exists() == (where == "here") and (tmp_path / "disk" / "out").exists() == (where == "Kaggle")


@pytest.mark.parametrize("wrong, error, said", [
    ("run", FileNotFoundError, "no run of a study there"), ("models", FileNotFoundError, "no trained model in"),
    ("predictions", (FileNotFoundError, PredictionError), "run notebook|train this backbone"), ("label", DataError, "'XYZ' .*data check"),
    ("out", PredictionError, "holds something else"),
])  # fmt: skip
def test_what_is_missing_is_named_and_nothing_is_written(run, mine, asked, tmp_path, wrong, error, said):
    bare = tmp_path / "bare"
    bare.mkdir()
    for part in {"study.json", "models", "splits", "predictions"} - {wrong, *(("study.json",) if wrong == "run" else ())}:
        (bare / part).symlink_to(run / part)
    if wrong == "label":
        mine[1].write_text(mine[1].read_text(encoding="cp1252").replace("NV", "XYZ"), encoding="cp1252")
    if wrong == "out":
        mine[2].mkdir()
        (mine[2] / "thesis.tex").touch()
    with pytest.raises(error, match=said):
        validating.validate(bare, *mine)
    assert not asked and [file.name for file in mine[2].rglob("*")] == ["thesis.tex"] * (wrong == "out")


def test_where_nothing_is_left_the_counts_say_why(run, mine, asked):
    lines = mine[1].read_text(encoding="cp1252").splitlines()
    mine[1].write_text("\n".join([lines[0], *lines[41:44]]), encoding="cp1252")  # the run's own alone
    with pytest.raises(DataError, match=r"no image is left(.|\n)*looks like an image of the run +3 +0"):
        validating.validate(run, *mine, say=lambda line: None)
