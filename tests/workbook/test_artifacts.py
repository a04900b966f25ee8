import json
import threading

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from workbook import books

from lesionkit.data.records import CLASSES
from lesionkit.evidence.predictions import PROBABILITIES
from lesionkit.study import Study, StudyError
from lesionkit.workbook.artifacts import MissingInput, Run
from lesionkit.workbook.caveats import LEAKY, SYNTHETIC, caveat, with_note
from lesionkit.workbook.manifest import file_hash, read_manifest, update_manifest
from lesionkit.writing import write_atomically  # fmt: skip


@pytest.fixture
def opened(tmp_path):
    """Run.open for a toy study in tmp_path."""
    given = books.write_study(tmp_path)

    def opened(notebook="03_ensemble", **more):
        return Run.open(
            **{"study": given["study"], "data": given["data"], "out": given["out"], "notebook": notebook} | more
        )

    return opened


def predicted(model, ids=("a", "b")):
    p = np.full((len(ids), 7), 1 / 7, np.float32)
    facts = {
        "image_id": ids,
        "lesion_id": ids,
        "dataset": "ham10000",
        "split": "test",
        "y_true": CLASSES[0],
        "model": model,
    }
    return pd.DataFrame(facts | dict(zip(PROBABILITIES, p.T)))


def artifacts(run):
    return read_manifest(run.folder)["artifacts"]


def test_a_run_knows_its_folder_its_settings_and_its_images(opened, tmp_path):
    run = opened(overrides=["epochs=2"])
    assert run.folder == tmp_path / "outputs" / "toy" and run.data == tmp_path / "data" and run.study.epochs == 2
    assert json.loads((run.folder / "study.json").read_text())["epochs"] == 2
    assert opened(data="").data == tmp_path / "data"  # known since


def test_images_that_are_nowhere_are_asked_for(opened, tmp_path):
    with pytest.raises(StudyError, match="give it with --data DIR"):
        opened("01_eda", data="")
    assert opened("03_ensemble", data="").data is None  # reads predictions only
    with pytest.raises(StudyError, match="no folder .*nowhere"):
        opened(data=str(tmp_path / "nowhere"))


def test_phantoms_need_no_folder(opened, tmp_path):
    run = opened(data="", overrides=["phantoms=30"])
    assert run.data.is_relative_to(run.folder / "data") and not (run.folder / "data.txt").exists()


def test_a_table_is_saved_whole_and_shown_rounded(opened):
    run = opened()
    table = pd.DataFrame({"model_name": ["a_b & c"], "auc": [1 / 3], "n": [12]})
    shown = run.table(table, "leaderboard")
    assert shown["auc"][0] == 0.333 and table["auc"][0] == 1 / 3
    pd.testing.assert_frame_equal(run.saved_table("03_ensemble", "03_leaderboard"), table, check_dtype=False)
    latex = (run.folder / "tables" / "03_leaderboard.tex").read_text()
    assert r"a\_b \& c & 0.333 & 12" in latex and r"\toprule" in latex and r"model\_name" in latex


def test_a_figure_is_png_and_pdf_and_the_same_each_time(opened):
    run, hashes = opened(), []
    for _ in range(2):
        axes = Figure().subplots()
        axes.plot([0, 1])
        assert run.figure(axes, "roc") is axes.figure
        hashes.append({path: entry["hash"] for path, entry in artifacts(run).items()})
    assert set(hashes[0]) == {"figures/03_roc.png", "figures/03_roc.pdf"} and hashes[0] == hashes[1]


def test_figures_of_images_lie_apart_and_synthetic_ones_say_so(opened):
    run = opened(data="", overrides=["phantoms=30"])
    figure = run.figure(Figure(), "samples", gallery=True)
    assert (run.folder / "galleries" / "03_samples.png").exists() and not (run.folder / "figures").exists()
    assert [text.get_text() for text in figure.texts] == [SYNTHETIC]
    assert opened().figure(Figure(), "real").texts == []


def test_the_manifest_says_who_made_what_from_what(opened):
    first = opened("01_eda")
    first.save_csv(pd.DataFrame({"image_id": ["a"], "source_dx": ["MEL"]}), "splits", "split.csv")
    run = opened("02_train_backbone", suffix="resnet50")
    run.split()
    run.table(pd.DataFrame({"x": [1]}), "history")
    entry = artifacts(run)["tables/02_history_resnet50.csv"]
    assert (entry["notebook"], entry["backbone"]) == ("02_train_backbone", "resnet50")
    assert entry["inputs"] == {"splits/split.csv": file_hash(run.folder / "splits" / "split.csv")}
    assert entry["hash"] == file_hash(run.folder / "tables" / "02_history_resnet50.csv")
    assert entry["study"] == run.study.fingerprint()
    assert "backbone" not in artifacts(run)["splits/split.csv"]


def test_files_of_others_are_recorded(opened):
    run = opened()
    run.path("models").mkdir()
    run.path("models", "weights").write_text("w")
    run.record(run.path("models", "weights"))
    value = file_hash(run.path("models", "weights"))
    assert artifacts(run)["models/weights"]["hash"] == value and artifacts(run)["models/weights"]["inputs"] == {}
    run.table(pd.DataFrame({"x": [1]}), "after")
    assert artifacts(run)["tables/03_after.csv"]["inputs"] == {"models/weights": value}


def test_a_table_of_a_leaking_study_says_so_in_latex(opened):
    run = opened(overrides=["split=image_leaky"])
    run.table(pd.DataFrame({"x": [1]}), "board")
    assert run.path("tables", "03_board.tex").read_text().startswith(f"% {LEAKY}.\n\\begin{{tabular}}")


def test_a_missing_input_says_which_notebook_to_run(opened):
    run = opened()
    with pytest.raises(MissingInput, match="run notebook 01_eda first"):
        run.split()
    with pytest.raises(MissingInput, match="02_train_backbone with backbone=resnet50"):
        run.predictions()


def test_predictions_come_in_the_study_s_order_and_only_of_images_in_the_split(opened):
    run = opened()
    for name in ("densenet121", "resnet50", "an_earlier_one"):
        run.save_predictions(predicted(name), name)
    ids = ["a", "b", "c"]
    split = pd.DataFrame({"image_id": ids, "lesion_id": ids, "split": "test", "dx": CLASSES[0], "source_dx": "AK"})
    run.save_csv(split, "splits", "split.csv")
    assert list(dict.fromkeys(run.predictions()["model"])) == ["resnet50", "densenet121"]
    for other in (split.iloc[:1], split.assign(split="val"), split.assign(lesion_id="x")):
        run.save_csv(other, "splits", "split.csv")
        with pytest.raises(MissingInput, match="run 02_train_backbone again"):
            run.predictions()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "new" / "file.txt"
    write_atomically(file, lambda path: path.write_text("old"))

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(file, fail)
    assert [f.name for f in file.parent.iterdir()] == ["file.txt"] and file.read_text() == "old"


def test_writers_of_the_manifest_wait_for_each_other(tmp_path):
    threads = [threading.Thread(target=update_manifest, args=(tmp_path, "steps", {f"step{i}": i})) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_manifest(tmp_path)["steps"] == {f"step{i}": i for i in range(16)}
    assert read_manifest(tmp_path / "nowhere") == {"artifacts": {}, "environments": {}, "steps": {}}


def test_what_must_be_said_of_images_and_models_is_said_of_both():
    assert caveat(Study("a")) == "" and caveat(Study("a", phantoms=30)) == SYNTHETIC
    smartphones = caveat(Study("a", external="t.csv", mapping="pad-ufes-20", split="image_leaky"))
    assert "not dermoscopy" in smartphones and smartphones.endswith(f". {LEAKY}")
    both = caveat(Study("a", external="x/t.csv", mapping="pad-ufes-20", note="Ours."))
    assert both.startswith("Ours. PAD-UFES-20: ") and "not dermoscopy" in both


def test_what_a_users_mapping_says_must_be_said_outlives_the_folder_of_images(opened, tmp_path):
    (tmp_path / "data" / "clinic.toml").write_text('note = "Photographs of 2024"')
    study = ['external=clinic/table.csv', 'mapping=clinic.toml', 'note=Ours']
    run = opened("01_eda", overrides=study)
    run.save_note()
    (tmp_path / "data" / "clinic.toml").unlink()
    run = opened("03_ensemble", overrides=study)
    assert [text.get_text() for text in run.figure(Figure(), "roc").texts] == ["Ours. Photographs of 2024"]
    assert artifacts(run)["figures/03_roc.png"]["inputs"].keys() == {"splits/note.csv"}  # so that it is drawn again where it changes
    assert caveat(run.study, run.folder) == caveat(with_note(run.study, run.folder)) == run.caveat()
    assert caveat(with_note(with_note(run.study, run.folder), run.folder)) == run.caveat()  # said once


def test_a_run_is_opened_as_its_settings_have_it(opened, tmp_path):
    run = opened("01_eda", overrides=["seed=7"])
    again = Run.of(run.folder, "03")
    assert (again.study.seed, again.folder, again.notebook) == (7, run.folder, "03") and again.data == run.data
    with pytest.raises(MissingInput, match="no run of a study there"):
        Run.of(tmp_path, "03")


def test_what_the_external_set_lost_is_the_tables_or_what_validate_counted(opened):
    run = opened("01_eda")
    assert run.removed().empty and list(run.removed()) == ["step", "removed", "remaining"]
    run.table(pd.DataFrame({"step": ["image id"], "removed": [2], "remaining": [3]}), "external_set")
    assert run.removed()["removed"].tolist() == [2]
    run.save_csv(pd.DataFrame({"step": ["row without image"], "removed": [1], "remaining": [4]}), "splits", "external_set.csv")
    assert run.removed()["step"].tolist() == ["row without image"]
