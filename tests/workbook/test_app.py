"""What the page says of an image, and what it refuses; test_app_browser.py drives it in a browser."""

import dataclasses
import re
import shutil
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
from explain.saved import photographs, saved_run
from PIL import Image
from workbook.tried import COUNTS, SIZES, bad_files, tried_run

from lesionkit.data import IMAGES
from lesionkit.data.records import CLASSES
from lesionkit.evidence import openset, predictions, scaling
from lesionkit.learning import inference
from lesionkit.workbook import fitted
from lesionkit.workbook.app import answers, page, server
from lesionkit.workbook.app.answers import Models, Refused
from lesionkit.workbook.artifacts import MissingInput, Run
from lesionkit.workbook.caveats import SYNTHETIC


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tried_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def models(run):
    return Models.open(run, "cpu")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    [file] = photographs(tmp_path_factory.mktemp("images"), "a.png")
    return file


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    return bad_files(tmp_path_factory.mktemp("bad"))


def test_an_answer_is_what_predict_and_the_evidence_say(models, run, image):
    answer = models.answer(image)
    expected = inference.predict_files(run, [image], "cpu")[0].drop(columns="file")
    pd.testing.assert_frame_equal(answer.table, expected)
    p = predictions.probabilities(expected)
    fitted = models.reference
    assert np.allclose(answer.calibrated, scaling.scaled(p[2:], fitted.temperature)[0])
    assert answer.chosen == [dx for dx, own, limit in zip(CLASSES, p[2], fitted.limits) if 1 - own <= limit]
    assert answer.unlike == (openset.disagreement(p[:2, None])[0] > fitted.disagreement)
    for picture, kind in ((answer.preview, b"\xff\xd8"), (answer.panel, b"\x89PNG")):
        assert picture.startswith(kind)


def test_the_reference_is_fitted_on_validation_alone(run, models):
    table = predictions.read([run / "predictions" / f"{name}.parquet" for name in SIZES])
    p = {split: np.stack([predictions.probabilities(rows) for rows in predictions.by_model(table, split=split).values()])
         for split in COUNTS}  # fmt: skip
    y = {split: np.arange(n) % 7 for split, n in COUNTS.items()}
    found = models.reference
    own = np.sort(1 - p["val"].mean(0)[np.arange(140), y["val"]])
    assert np.isclose(found.limits[0], own[int(np.ceil(141 * 0.9)) - 1]) and (found.limits == found.limits[0]).all()
    assert np.isclose(found.temperature, scaling.temperature(y["val"], p["val"].mean(0)), rtol=1e-3)
    assert list(found.splits["split"]) == list(COUNTS) and list(found.splits["n"]) == list(COUNTS.values())
    for split, holds, unlike in found.splits[["split", "holds", "unlike"]].itertuples(index=False):
        assert np.isclose(unlike, (openset.disagreement(p[split]) > found.disagreement).mean())
        assert np.isclose(holds, (1 - p[split].mean(0)[np.arange(len(y[split])), y[split]] <= found.limits[0]).mean())
    assert found.splits["unlike"][0] == pytest.approx(0.05, abs=0.01) and 0.9 <= found.splits["holds"][0] <= 0.92


def test_one_member_alone_warns_of_nothing(run):
    alone = Run.of(run, "app")
    alone.study = dataclasses.replace(alone.study, backbones=("test_resnet",))
    found = fitted.reference(alone)
    assert found.disagreement == np.inf and (found.splits["unlike"] == 0).all()


def test_a_run_without_predictions_says_what_to_run(tmp_path):
    run = saved_run(tmp_path / "run", {"baseline_cnn": 32})
    opened = Run.of(run, "02_train_backbone")
    opened.record(run / "models" / "baseline_cnn" / "weights.safetensors")
    with pytest.raises(MissingInput, match="baseline_cnn.parquet is missing: run notebook 02_train_backbone with backbone=baseline_cnn"):
        Models.open(run, "cpu")


def test_what_is_no_image_or_too_large_is_refused_and_the_file_is_not_named(models, bad):
    for file, word in bad.items():
        with pytest.raises(Refused, match=word) as refused:
            models.answer(file)
        assert file.name not in str(refused.value) and str(file.parent) not in str(refused.value)


def test_a_file_that_is_gone_is_refused(models, tmp_path):
    with pytest.raises(Refused, match="can be read"):
        models.answer(tmp_path / "gone.jpg")


def test_size_is_seen_before_anything_is_decoded(bad, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    for file, word in bad.items():
        if "megapixels" in word or "MB" in word:
            with pytest.raises(Refused, match=word):
                answers.check(file)


@pytest.mark.parametrize("ending", IMAGES)
def test_each_kind_of_image_that_predict_takes_is_taken(ending, tmp_path):
    file = tmp_path / f"A{ending.upper()}"
    Image.new("RGB", (20, 10)).save(file)
    answers.check(file)


def test_the_page_shows_the_answer_and_what_it_is_not(models, image):
    answer = models.answer(image)
    html = page.render(answer._replace(unlike=True, chosen=["mel"]), models.reference)
    shown = re.findall(r'class="lk-p">([\d.]+)<', html)
    assert shown == [f"{p:.2f}" for p in predictions.probabilities(answer.table)[-1]]
    assert len(re.findall(r'src="data:image/(?:png|jpeg);base64,', html)) == 2 and "http" not in html
    assert "Unlike the images" in html and "melanoma (mel)</span>" in html and "90\N{NO-BREAK SPACE}% of images like" in html
    assert "Unlike the images" not in page.render(answer._replace(unlike=False), models.reference)
    assert "no class" in page.render(answer._replace(chosen=[]), models.reference)
    banner = page.banner(models.study)
    assert "no medical device" in banner and SYNTHETIC in banner
    assert "<b>" not in page.refusal("<b>")


def test_examples_are_phantoms_of_every_class(tmp_path):
    files = server.draw_examples(tmp_path / "examples", 48)
    assert list(files) == list(CLASSES) and len({file.read_bytes() for file in files.values()}) == 7
    assert all(Image.open(file).size == (48, 48) for file in files.values())


def test_only_what_was_uploaded_is_removed(models, image, tmp_path, monkeypatch):
    """Whoever reaches the page can name a file to it, and not only one of his own."""
    pytest.importorskip("gradio")
    uploads, mine = tmp_path / "uploads", tmp_path / "mine.png"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    examples = server.draw_examples(tmp_path / "examples", 48)
    demo = server.build(models, examples, uploads)
    copies = [file for file in uploads.rglob("*.png")]
    [drop] = [one.fn for one in demo.fns.values() if getattr(one.fn, "__name__", "") == "drop"]
    assert len(copies) == 7  # by which the page shows the examples
    shutil.copy(image, mine)
    for file in (*examples.values(), *copies[:2], mine):
        assert "lk-p" in drop(str(file))[1] and file.exists()
    (uploads / "hash").mkdir()
    shutil.copy(image, uploads / "hash" / "a.png")
    assert "lk-p" in drop(str(uploads / "hash" / "a.png"))[1] and not (uploads / "hash").exists()


@pytest.mark.parametrize("version", [None, "3.18.0"])
def test_without_gradio_the_extra_is_named(version, monkeypatch, run):
    def found(name):
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(server.metadata, "version", found)
    with pytest.raises(ImportError, match=re.escape("pip install 'lesionkit[app]'")):
        server.serve(run)
