"""An exported folder: the same probabilities as the run, what was fitted, nothing of the machine, whole or not there."""

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from explain.saved import photographs, saved_run
from PIL import Image, ImageOps
from workbook.tried import SIZES, evaluated

from lesionkit.data.decoding import decode
from lesionkit.data.records import CLASSES
from lesionkit.evidence import ensembles, scaling
from lesionkit.learning import conversion, inference
from lesionkit.settings import SEVEN
from lesionkit.workbook import describing, explaining, exporting
from lesionkit.workbook.artifacts import MissingInput, Run

SOURCE = rb"[\w-]{4,}\.py\b"  # a file of code; ".py" alone comes by chance among millions of weights
MODELS = [*SIZES, "ensemble"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("somebody") / "run"
    return evaluated(saved_run(folder, SIZES, tta=8, phantoms=9, weights="none", weights_dir=str(folder), masks=str(folder),
                               external=str(folder / "mine.csv"), mapping=str(folder / "mine.toml"),
                               backbone={"test_resnet": {"tta": 1, "weights": str(folder), "weights_dir": str(folder)}}))  # fmt: skip


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("exported") / "deep" / "model"
    return exporting.export(run, to), to


def test_a_weighted_ensemble_is_exported_with_its_shares_and_temperatures(tmp_path):
    copy = evaluated(saved_run(tmp_path / "run", SIZES, phantoms=9, ensemble="weighted"))
    with pytest.raises(MissingInput, match="ensemble.csv"):
        exporting.export(copy, tmp_path / "early", onnx=False)
    opened = Run.of(copy, "03_ensemble")
    mixture = ensembles.mixture(opened.predictions(), "weighted")
    opened.save_csv(mixture.table(), "models", "ensemble.csv")
    about = exporting.export(copy, tmp_path / "to", onnx=False)
    assert set(mixture.temperatures.values()) != {1.0}
    assert about["ensemble"]["temperatures"] == pytest.approx(mixture.temperatures)
    assert about["ensemble"]["shares"] == pytest.approx(mixture.shares) and "models/ensemble.csv" in about["files"]
    files = photographs(tmp_path, "a.png", "b.jpg")
    expected = inference.predict_files(copy, files, "cpu")[0]
    pd.testing.assert_frame_equal(inference.predict_files(tmp_path / "to", files, "cpu")[0], expected)


def test_predictions_of_the_export_are_those_of_the_run_wherever_it_lies_and_though_it_cannot_be_written(
    run, exported, tmp_path, monkeypatch
):
    files = photographs(tmp_path, "a.png", "b.jpg", "c.png")
    expected = inference.predict_files(run, files, "cpu")[0]
    moved = tmp_path / "moved"
    shutil.copytree(exported[1], moved)
    monkeypatch.chdir(tmp_path)
    for path in (*moved.rglob("*"), moved):
        path.chmod(0o555 if path.is_dir() else 0o444)
    found = inference.predict_files(Path("moved"), files, "cpu")[0]
    pd.testing.assert_frame_equal(found, expected)
    table, _ = explaining.explain_files(Path("moved"), files[:1], tmp_path / "panels", device="cpu")
    assert (tmp_path / "panels" / "a.png").exists() and list(table["model"]) == MODELS
    for path in (moved, *moved.rglob("*")):
        path.chmod(0o755)


def test_onnx_files_take_the_pixels_and_give_the_probabilities_with_all_views(run, exported, tmp_path):
    about, to = exported
    files = photographs(tmp_path, *(f"{i}.png" for i in range(5)))
    expected = inference.predict_files(run, files, "cpu")[0].set_index("model").filter(like="p_")
    assert [about["members"][name]["views"] for name in SIZES] == [8, 1]
    for name, size in SIZES.items():
        session = onnxruntime.InferenceSession(to / about["members"][name]["onnx"]["file"])
        images = np.stack([decode(file, size, "squash") for file in files])
        assert session.get_inputs()[0].shape[1:] == about["members"][name]["onnx"]["input"]["shape"][1:] == [size, size, 3]
        for n in (1, 5):
            found = session.run(["probabilities"], {"images": images[:n]})[0]
            assert np.abs(found - expected.loc[[name]].to_numpy()[:n]).max() <= 1e-4
        assert about["members"][name]["onnx"]["largest_difference"] <= 1e-4


def test_temperatures_thresholds_and_sets_are_those_that_validation_gives(run, exported):
    scored = Run.of(run, "test").scored()
    scored = scored[scored["model"].isin(MODELS)]
    about, validation = exported[0], scored[scored["split"] == "val"]
    found = {**about["members"], "ensemble": about["ensemble"]}
    for name, t in scaling.temperatures(scored).items():
        assert found[name]["temperature"] == pytest.approx(t, rel=1e-5)  # the ensemble's probabilities are in single precision here
    for name, table in validation.groupby("model"):
        positive, score = table["y_true"] == "mel", table["p_mel"]
        assert [point["promised_sensitivity"] for point in found[name]["melanoma_thresholds"]] == [0.9, 0.95]
        for point in found[name]["melanoma_thresholds"]:
            called = score >= point["threshold"]
            assert called[positive].mean() == pytest.approx(point["validation_sensitivity"])
            assert called[positive].mean() >= point["promised_sensitivity"]
            assert 1 - called[~positive].mean() == pytest.approx(point["validation_specificity"])
    own = validation[validation["model"] == "ensemble"]
    y, p = own["y_true"].map(CLASSES.index).to_numpy(), own.filter(like="p_").to_numpy()
    sets = about["ensemble"]["conformal"]
    for limits in (np.full(7, sets["marginal"]), np.array(list(sets["class_conditional"].values()))):
        assert (1 - p[np.arange(len(y)), y] <= limits[y] + 1e-7).mean() >= sets["promised_coverage"]
    assert list(sets["class_conditional"]) == list(about["classes"]) == list(CLASSES)


def test_no_file_names_a_folder_or_a_person_of_this_machine(run, exported):
    to = exported[1]
    package = Path(inference.__file__).parents[2]
    names = {str(run), str(to), str(package), sys.prefix, str(Path.home()), os.getcwd()}
    names |= {name for name in (getpass.getuser(), socket.gethostname()) if len(name) > 5}  # `root` and `vm` are words
    for file in filter(Path.is_file, to.rglob("*")):
        content = file.read_bytes()
        assert not [name for name in names - {"/"} if name.encode() in content], file
        assert not re.search(SOURCE, content) or file.suffix == ".md", file
    text = (to / "study.json").read_text() + "".join(file.read_text() for file in to.glob("models/*/config.json"))
    assert not re.search(r'"/|"[A-Z]:\\', text)
    settings = json.loads((to / "study.json").read_text())
    assert (settings["external"], settings["mapping"], settings["masks"]) == ("…/mine.csv", "…/mine.toml", "…/run")
    assert settings["backbone"]["test_resnet"] == {"tta": 1, "weights": "…/run", "weights_dir": "…/run"}


def test_the_hash_of_each_file_is_there_and_another_file_is_found_by_it(exported, tmp_path):
    about, to = exported
    written = {file.relative_to(to).as_posix() for file in to.rglob("*") if file.is_file()}
    assert set(about["files"]) == written - {"lesionkit.json"}
    assert about == json.loads((to / "lesionkit.json").read_text(encoding="ascii"))  # read the same whatever is read as
    if shutil.which("sha256sum"):
        said = subprocess.run(["sha256sum", "study.json"], cwd=to, capture_output=True, text=True, check=True)
        assert said.stdout.split()[0] == about["files"]["study.json"]
    copy = tmp_path / "copy"
    shutil.copytree(to, copy)
    (copy / "README.md").write_text("My own words")  # the card and ONNX may be changed, or left out
    shutil.rmtree(copy / "onnx")
    [image] = photographs(tmp_path, "a.png")
    assert len(inference.predict_files(copy, [image])[0]) == 3
    weights = copy / "models" / "test_resnet" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"test_resnet.weights\.safetensors is not the file that was exported"):
        inference.predict_files(copy, [image])
    weights.unlink()
    with pytest.raises(ValueError, match="is missing: copy or download"):
        explaining.explain_files(copy, [image], tmp_path / "out")


def test_the_readmes_code_gives_the_ensembles_probabilities(run, exported, tmp_path):
    to, [image] = exported[1], photographs(tmp_path, "a.png")
    code = re.search(r"```python\n(.*?)```", (to / "README.md").read_text(), re.S)[1].replace("IMAGE.jpg", str(image))
    said = subprocess.run([sys.executable, "-c", code], cwd=to, capture_output=True, text=True, check=True).stdout
    found = [float(number) for number in re.findall(r"(\d\.\d+(?:e-\d+)?)\)", said)]
    expected = inference.predict_files(run, [image], "cpu")[0].filter(like="p_").to_numpy()[-1]
    assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("fit", describing.SQUARE)
def test_the_readmes_square_is_that_of_the_models(fit, tmp_path):
    [file] = photographs(tmp_path, "a.png")
    with Image.open(file) as image:
        square = eval(describing.SQUARE[fit], {"image": image, "side": 32, "Image": Image, "ImageOps": ImageOps})
    assert np.abs(np.asarray(square, int) - decode(file, 32, fit)).max() <= (1 if fit == "squash" else 3)


def test_the_readme_is_a_card_that_the_hub_can_read(run, exported, tmp_path):
    from huggingface_hub import ModelCard

    card = ModelCard.load(exported[1] / "README.md")
    assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == ("mit", "lesionkit", "image-classification")
    assert "synthetic" in card.data.tags and "Synthetic images" in card.text and "not a medical device" in card.text
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "tables" / "06_model_card.md").write_text("---\nlicense: other\n---\n\n# Model card: mine\n\nMy words.\n")
    exporting.export(copy, tmp_path / "to", onnx=False)
    text = (tmp_path / "to" / "README.md").read_text()
    assert text.startswith("---\nlicense: other\n---\n\n# Model card: mine") and text.count("---\n") == 2
    assert "## Use" in text and "onnxruntime" not in text


def test_results_on_real_images_are_in_the_front_matter(run, tmp_path):
    from huggingface_hub import ModelCard

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    settings = json.loads((copy / "study.json").read_text()) | {"phantoms": 0, "title": "Real", "external": ""}
    (copy / "study.json").write_text(json.dumps(settings))
    evaluated(copy)
    row = {"model": "ensemble", "balanced_accuracy_in": 0.64321, "balanced_accuracy_out": np.nan, "macro_auc_out": 0.72}
    pd.DataFrame([row]).to_csv(copy / "tables" / "06_leaderboard.csv", index=False)
    exporting.export(copy, tmp_path / "to", onnx=False)
    data = ModelCard.load(tmp_path / "to" / "README.md").data
    assert (data.license, data.datasets, data.model_name) == ("cc-by-nc-4.0", ["ham10000"], settings["name"])
    found = [(one.dataset_type, one.metric_type, one.metric_value) for one in data.eval_results]
    assert found == [("ham10000", "balanced_accuracy", 0.6432), ("isic2019", "roc_auc", 0.72)]


def test_what_the_run_lacks_is_named(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "tables" / "03b_operating_points.csv").unlink()
    with pytest.raises(MissingInput, match="03b_operating_points.csv is missing: run notebook 03b_melanoma first"):
        exporting.export(copy, tmp_path / "to", onnx=False)
    shutil.copytree(run, copy, dirs_exist_ok=True)
    shutil.rmtree(copy / "models" / "test_resnet")
    with pytest.raises(MissingInput, match="weights.safetensors is missing: run notebook 02_train_backbone with backbone=test_resnet"):
        exporting.export(copy, tmp_path / "to", onnx=False)
    assert not (tmp_path / "to").exists()


def test_without_the_packages_both_ways_out_are_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(exporting.ExportError, match=r"onnxscript: not installed.*lesionkit\[export\].*--no-onnx"):
        exporting.export(run, tmp_path / "to")
    exporting.export(run, tmp_path / "to", onnx=False)


def test_an_onnx_file_that_differs_stops_the_export_and_says_which(run, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "averaged", lambda logits: inference.averaged(logits) + 2e-4)
    with pytest.raises(conversion.ConversionError, match=r"baseline_cnn as ONNX differs from PyTorch by 2\.0e-04"):
        exporting.export(run, tmp_path / "to")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_end_in_a_message(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.copy(copy / "models" / "test_resnet" / "weights.safetensors", copy / "models" / "baseline_cnn")
    with pytest.raises(ValueError, match="baseline_cnn: the weights do not fit the network that timm"):
        inference.load(copy / "models" / "baseline_cnn")


def test_images_of_the_test_set_are_compared_where_they_are_at_hand(run, tmp_path):
    opened = Run.of(run, "export")
    files, what = exporting._images_to_check(opened, tmp_path)
    assert len(files) == 16 and what == "16 synthetic images"
    images = tmp_path / "images"
    paths = photographs(images, *(f"{one}.png" for one in ("T0000000", "T0000001")))
    (opened.folder / "data.txt").write_text(str(images))
    split = opened.split()
    split = split[split["image_id"].isin([path.stem for path in paths]) | (split["split"] == "val")]
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "study.json").write_text(json.dumps(json.loads((run / "study.json").read_text()) | {"phantoms": 0}))
    split.to_csv(copy / "splits" / "split.csv", index=False)
    split.assign(path=split["image_id"] + ".png").to_csv(copy / "splits" / "index.csv", index=False)
    files, what = exporting._images_to_check(Run.of(copy, "export"), tmp_path)
    assert sorted(files) == sorted(paths) and what == "2 images of the test set"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEVEN, "swin_tiny_patch4_window7_224", "regnety_004"])
def test_each_backbone_is_exact_as_onnx(name, tmp_path):
    saved_run(tmp_path, {name: 64}, phantoms=9)
    model, config = inference.load(tmp_path / "models" / name, "cpu")
    conversion.to_onnx(name, (model, config, 16), tmp_path / "x.onnx")
    files = photographs(tmp_path, *(f"{i}.png" for i in range(3)))
    images = np.stack([decode(file, 64, "squash") for file in files])
    assert conversion.largest_difference((model, config, 16), tmp_path / "x.onnx", images) <= 1e-4
    assert not re.search(SOURCE, (tmp_path / "x.onnx").read_bytes())
