"""Every notebook: its anatomy, and a run of them all on a tiny study."""

import ast
import json
import re
import shlex
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import typer
from sklearn import metrics as sk

from lesionkit.cli import data as cli_data
from lesionkit.cli import shared as cli_shared
from lesionkit.cli import validation
from lesionkit.data import phantoms
from lesionkit.data.records import CLASSES
from lesionkit.workbook import evaluation, pipeline
from lesionkit.workbook.artifacts import MissingInput
from lesionkit.workbook.manifest import file_hash, read_manifest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY = """
phantoms = 90
phantom_size = 48
size = 32
backbones = ["baseline_cnn", "test_resnet"]
weights = "none"
epochs = 2
batch_size = 16
resamples = 200
scored = 1
masks = "masks"

[backbone.baseline_cnn]
folds = 3

[candidate.no_frame]
frame = "crop"
discs = 0.5
"""


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_anatomy(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (
        notebook.cells[0].source.startswith(f"# {path.stem.split('_')[0]} · ")
        and "**Question.**" in notebook.cells[0].source
    )
    tagged = [cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == [code_cells(notebook)[2]]  # after the setup, which test_setup_cell looks at, and the imports
    for line in tagged[0].source.splitlines():
        name, _, comment = line.partition("  # ")
        ast.literal_eval(name.partition(" = ")[2])  # papermill replaces literals, nothing else
        assert comment
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None, "committed with outputs: clear them"
        assert len(cell.source.splitlines()) <= (25 if "setup" in cell.metadata.get("tags", []) else 15)
        tree = ast.parse(cell.source)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)] and "sys.path" not in cell.source
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden")  # of such a cell the first line shows, unbroken
        widths = [len(line) for line in cell.source.splitlines()]
        assert widths[0] <= 60 if hidden else max(widths) <= 120, "wider than a window: shorten or break the line"
    for before, cell in zip(notebook.cells, notebook.cells[1:]):
        assert cell.source.strip() and before.source.strip()
    assert notebook.cells[-1].cell_type == "code" and "Markdown(" in notebook.cells[-1].source  # generated findings


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_without_its_inputs_a_notebook_says_which_to_run_first(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    with pytest.raises(MissingInput) as told:
        for cell in code_cells(nbformat.read(path, as_version=4)):
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names["out"] = str(tmp_path)
    first = re.search(r"is missing: run notebook (\w+)", str(told.value))[1]
    order = [path.stem for path in NOTEBOOKS]
    assert order.index(first) < order.index(path.stem)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A tiny study, run once: its TOML, where its results went, and what was said."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.toml").write_text(TINY)
    said = []
    run = pipeline.run_study(str(folder / "tiny.toml"), out=str(folder / "out"), say=said.append)
    return folder, run, said


def test_no_notebook_shows_a_warning(done):
    _, run, _ = done
    for path in (run / "notebooks").glob("*.ipynb"):
        outputs = [output for cell in code_cells(nbformat.read(path, as_version=4)) for output in cell.outputs]
        assert not [output["text"] for output in outputs if output.get("name") == "stderr"], path.name


def test_every_notebook_ran_and_everything_in_the_manifest_is_there(done):
    _, run, said = done
    assert len(said) == len(NOTEBOOKS) + 1 + 1  # 02 twice, the report once
    manifest = read_manifest(run)
    assert {path.stem for path in NOTEBOOKS} == {a["notebook"] for a in manifest["artifacts"].values()} - {"report"}
    for path, entry in manifest["artifacts"].items():
        assert file_hash(run / path) == entry["hash"], path
    assert not list(run.rglob("*.partial*")) and not list(run.rglob("*.failed.ipynb"))
    assert (run / "report" / "index.html").stat().st_size > 10_000


def test_a_second_run_makes_nothing_and_a_changed_setting_only_what_it_touches(done):
    folder, run, _ = done
    said = []
    pipeline.run_study(str(folder / "tiny.toml"), out=str(folder / "out"), say=said.append)
    assert all(line.endswith("fresh") for line in said), said
    states = pipeline.status(
        str(folder / "tiny.toml"), out=str(folder / "out"), overrides=["backbone.test_resnet.lr=1e-4"]
    )
    stale = {state.step.id for state in states if state.name != "fresh"}
    assert "02_train_backbone_test_resnet" in stale and not {"01_eda", "02_train_backbone_baseline_cnn"} & stale


def test_the_numbers_in_the_tables_are_those_of_scikit_learn(done):
    _, run, _ = done
    predictions = pd.concat(map(pd.read_parquet, sorted(run.glob("predictions/*.parquet"))))
    board = pd.read_csv(run / "tables" / "03_leaderboard.csv").set_index("model")
    predictions = predictions[predictions["model"].isin(board.index)]  # of the ensembles the mean alone
    for model, rows in predictions[predictions["split"] == "test"].groupby("model"):
        y = pd.Categorical(rows["y_true"], categories=list(CLASSES)).codes
        p = rows[[f"p_{dx}" for dx in CLASSES]].to_numpy()
        assert set(y) == set(range(7))
        mel, call = CLASSES.index("mel"), p.argmax(1)
        p = p.astype(float) / p.sum(1, keepdims=True)
        expected = {
            "accuracy": sk.accuracy_score(y, call), "balanced_accuracy": sk.balanced_accuracy_score(y, call),
            "macro_f1": sk.f1_score(y, call, average="macro"), "weighted_f1": sk.f1_score(y, call, average="weighted"),
            "macro_auc": sk.roc_auc_score(y, p, multi_class="ovr", average="macro"),
            "micro_auc": sk.roc_auc_score(np.eye(7)[y], p, average="micro"), "melanoma_auc": sk.roc_auc_score(y == mel, p[:, mel]),
            "melanoma_sensitivity": sk.recall_score(y == mel, call == mel), "melanoma_specificity": sk.recall_score(y != mel, call != mel),
        }  # fmt: skip
        assert board.loc[model, list(expected)].astype(float).to_dict() == pytest.approx(expected, abs=1e-6)


def test_figures_of_synthetic_images_say_so_and_galleries_are_kept_apart(done):
    _, run, _ = done
    executed = json.loads((run / "notebooks" / "01_eda.ipynb").read_text())
    assert not [out for cell in executed["cells"] for out in cell.get("outputs", []) if out["output_type"] == "error"]
    galleries = {path.stem for path in (run / "galleries").glob("*.png")}
    assert {
        "01_samples_internal",
        "01_samples_external",
        "02_augmentation_baseline_cnn",
        "05_cam_test_correct",
    } <= galleries
    assert not [path for path in (run / "figures").glob("*") if "cam" in path.stem or "samples" in path.stem]


def test_tables_of_the_evidence_hold_what_they_promise(done):
    _, run, _ = done
    table = {path.stem: pd.read_csv(path) for path in (run / "tables").glob("*.csv")}
    split = pd.read_csv(run / "splits" / "split.csv")
    folds = table["03_folds"]
    assert set(folds["model"]) == {"baseline_cnn"}
    assert set(folds["n"]) == {split["split"].isin(["train", "val"]).sum()}  # each once, by a model without its lesion
    ensembles = pd.read_parquet(run / "predictions" / "ensembles.parquet")
    left_out = set(table["03_ensembles_left_out"]["ensemble"])
    assert set(ensembles["model"]) | left_out == {
        "ensemble",
        *(f"ensemble_{kind}" for kind in ("geometric", "weighted", "stacked", "greedy")),
    }
    points = table["03b_operating_points"]
    assert set(points["split"]) == {"val", "test", "external"}
    assert (
        points.groupby(["model", "target"])["threshold"].nunique(dropna=False).eq(1).all()
    )  # carried, not tuned again
    assert table["03_cost"]["macs_m"].notna().all() and set(table["03b_stability_views"]["model"]) >= {"ensemble"}
    assert {"energy", "maximum_softmax", "disagreement"} == set(table["04b_open_set"]["score"])


def test_anybody_s_predictions_are_evaluated_like_a_study_s(done, tmp_path):
    _, run, _ = done
    mine = pd.read_parquet(run / "predictions" / "baseline_cnn.parquet").query("split == 'test'")
    mine[["image_id", *(f"p_{dx}" for dx in CLASSES)]].to_csv(tmp_path / "mine.csv", index=False)
    pd.read_csv(run / "splits" / "index.csv")[["image_id", "lesion_id", "dx"]].to_csv(
        tmp_path / "truth.csv", index=False
    )
    out = evaluation.evaluate([tmp_path / "mine.csv"], tmp_path / "truth.csv", tmp_path / "out", say=lambda line: None)
    ours = pd.read_csv(run / "tables" / "03_leaderboard.csv").set_index("model").loc["baseline_cnn"]
    board = pd.read_csv(out / "tables" / "03_leaderboard.csv").set_index("model").loc["mine"]
    assert board.drop("note").astype(float).to_dict() == pytest.approx(
        ours.drop("note").astype(float).to_dict(), nan_ok=True
    )
    points = pd.read_csv(out / "tables" / "03b_operating_points.csv")
    assert points["value"].isna().all() and points["note"].str.contains("no validation image").all()
    assert (out / "report" / "index.html").exists() and not list(out.rglob("*.failed.ipynb"))


def test_the_guide_to_own_data_holds_what_it_says(done, tmp_path, monkeypatch, capsys):
    """Its commands, in its order, on its table and with its mapping: images of three classes, one of them the run's own."""
    _, run, _ = done
    guide = (ROOT / "lesionkit" / "guides" / "own-data.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    lesionkit (.+)$", guide, re.MULTILINE)
    head = re.search(r"^    (Bild;.+)$", guide, re.MULTILINE)[1]
    app = typer.Typer()
    app.command("validate")(validation.validate)
    app.add_typer(cli_data.app, name="data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "full").symlink_to(run)
    phantoms.write(tmp_path / "drawn", 60, 48, 5)
    rows = pd.read_csv(tmp_path / "drawn" / "HAM10000_metadata.csv").query("dx in ['mel', 'nv', 'bcc']")
    words = {"mel": "Melanom", "nv": "Nävus", "bcc": "Basaliom"}
    files = [tmp_path / "drawn" / "HAM10000_images" / f"{name}.jpg" for name in rows["image_id"]]
    theirs = next(run.glob("data/*/HAM10000_images/*.jpg"))
    (tmp_path / "images").mkdir()
    lines = [head, "fehlt;Narbe;0;"]
    for k, (file, dx) in enumerate(zip([*files, theirs], [*rows["dx"], "nv"])):
        shutil.copy(file, tmp_path / "images" / f"P{k}.jpg")
        lines.append(f"images\\P{k}.jpg;{words[dx]};{k};40,5")
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="cp1252")

    codes, said, clinic = [], "", tmp_path / "clinic.toml"
    for command in commands:
        try:
            codes.append(app(shlex.split(command), standalone_mode=False) or 0)
        except cli_shared.Stop as error:
            pytest.fail(f"{command}: {error}")
        said = capsys.readouterr().out
        if len(codes) == 1:  # the guide's own columns, and later its labels
            written, filled = (text.split("[columns]") for text in (said, re.search(r"```toml\n(.+?)```", guide, re.DOTALL)[1]))
            assert 'image = "?"' in written[1] and all(f'"{name}"' in written[1] for name in head.split(";"))
            clinic.write_text(f"{filled[0]}[columns]{filled[1].split('[labels]')[0]}", encoding="utf-8")
        if len(codes) == 2:
            assert '"Melanom" = "?"' in said and 'note = "Photographs of 2024"' in said and 'lesion = "Fall"' in said
            clinic.write_text("[columns]".join(filled), encoding="utf-8")
    assert codes == [1, 1, 0, 0] and said.splitlines()[-1] == f"report: {tmp_path / 'validated' / 'report' / 'index.html'}"
    out = tmp_path / "validated"
    removed = pd.read_csv(out / "tables" / "04_external_set.csv").set_index("step")["removed"]
    assert removed["looks like an image of the run"] >= 1
    assert f"P{len(files)}" not in set(pd.read_csv(out / "splits" / "split.csv")["image_id"])
    points = pd.read_csv(out / "tables" / "03b_operating_points.csv")
    assert set(points["split"]) == {"val", "test", "external"} and points.groupby(["model", "target"])["threshold"].nunique().eq(1).all()
    carried = pd.read_csv(run / "tables" / "03b_operating_points.csv")
    key = ["model", "target"]
    assert points.groupby(key)["threshold"].first().round(6).equals(carried.groupby(key)["threshold"].first().round(6))
    drop = pd.read_csv(out / "tables" / "04_drop.csv").set_index(["model", "metric"])
    assert drop.loc[("ensemble", "balanced_accuracy")].isna()["external"] and drop.loc[("ensemble", "accuracy")].notna()["drop"]
    assert "Photographs of 2024" in (out / "report" / "index.html").read_text(encoding="utf-8") and not list(out.rglob("*.failed.ipynb"))
