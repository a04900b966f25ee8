import json
import shutil

import pytest
from filelock import FileLock
from workbook import books

from lesionkit import sources
from lesionkit.data import mapping
from lesionkit.study import StudyError
from lesionkit.workbook import execution, pipeline
from lesionkit.workbook.manifest import read_manifest

ALL = ["01_eda", "02_train_backbone_resnet50", "02_train_backbone_densenet121", "03_ensemble", "06_report"]


class Toy:
    """A toy study, what has been run of it, and the shortcuts that these tests need."""

    def __init__(self, folder):
        self.folder, self.given, self.ran, self.threads = folder, books.write_study(folder), [], {}
        self.outputs = folder / "outputs" / "toy"

    def execute(self, source, target, parameters, threads):
        self.ran.append(target.stem)
        self.parameters, self.threads[target.stem] = parameters, threads
        books.run_here(source, target, parameters)

    def run(self, **more):
        self.ran.clear()
        pipeline.run_study(**{**self.given, "say": lambda line: None, **more})
        return list(self.ran)

    def status(self, **more):
        return {state.step.id: state for state in pipeline.status(**{**self.given, **more})}

    def stale(self, **more):
        return {name: "; ".join(state.why) for name, state in self.status(**more).items() if state.name != "fresh"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A toy study that has been run once, to be copied."""
    toy = Toy(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "execute", toy.execute)
        assert toy.run() == ALL
    return toy


@pytest.fixture
def toy(finished, tmp_path, monkeypatch):
    toy = Toy(tmp_path)
    shutil.copytree(finished.outputs, toy.outputs)
    (toy.outputs / "data.txt").write_text(toy.given["data"])
    monkeypatch.setattr(execution, "execute", toy.execute)
    return toy


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_study_runs_once_in_order_and_then_costs_nothing(finished, toy):
    lines = []
    assert toy.run(say=lines.append) == []
    assert [line.split() for line in lines] == [[step, "fresh"] for step in [*ALL, "report"]]
    assert toy.stale() == {}
    assert (toy.outputs / "notebooks" / "02_train_backbone_resnet50.ipynb").exists()
    assert (toy.outputs / "report" / "index.html").exists()
    manifest = read_manifest(toy.outputs)
    assert all((toy.outputs / path).exists() for path in manifest["artifacts"])
    assert {"notebooks/03_ensemble.ipynb", "tables/03_leaderboard.csv", "report/index.html"} <= set(
        manifest["artifacts"]
    )
    assert list(manifest["steps"]) == sorted([*ALL, "report"])


def test_parameters_are_passed_as_a_kernel_in_the_notebooks_folder_says_them(finished):
    assert finished.parameters == {"study": "../toy.toml", "data": "../data", "out": "../outputs", "overrides": []}


def test_before_the_first_run_all_is_missing_and_nothing_is_written(tmp_path):
    toy = Toy(tmp_path)
    assert {state.name for state in toy.status().values()} == {"missing"}
    assert not toy.outputs.exists()


def test_an_input_that_changes_stales_what_reads_it_and_says_so(toy):
    (toy.folder / "data" / "labels.csv").write_text("image_id,dx,note\na,mel,\nb,nv,\nc,bcc,\n")
    reading = dict.fromkeys(ALL[:3], "the images changed")
    assert toy.stale() == reading
    assert toy.run() == ALL
    assert toy.run() == []


def test_what_comes_out_the_same_stops_there(toy):
    (toy.folder / "data" / "labels.csv").write_text("image_id,dx,note\na,mel,checked\nb,nv,\nc,nv,\n")
    assert toy.run() == ALL[:3]  # the split and the predictions come out as they were


def test_the_same_data_elsewhere_stale_nothing(toy):
    (toy.folder / "data").rename(toy.folder / "moved")
    toy.given["data"] = str(toy.folder / "moved")
    assert toy.run() == []
    toy.given["data"] = ""  # known since
    assert toy.stale() == {}


def test_data_that_are_gone_stale_only_what_reads_them(toy):
    shutil.rmtree(toy.folder / "data")
    assert set(toy.stale(data="")) == set(ALL[:3])
    assert toy.run(only=["03", "06"], data="") == []


def test_the_note_and_the_mapping_of_own_images_stale_the_notebook_that_reads_them(toy, monkeypatch):
    assert toy.stale(overrides=["note=Said"])["01_eda"] == "note = , now Said"
    clinic, shipped = toy.folder / "clinic.toml", toy.folder / "mappings"
    shutil.copytree(mapping.MAPPINGS, shipped)
    monkeypatch.setattr(mapping, "MAPPINGS", shipped)
    clinic.write_text('note = "A"')
    for name, file in (("derm7pt", shipped / "derm7pt.toml"), (str(clinic), clinic), ("derm7pt", shipped / "default.toml")):
        own = ["external=clinic/table.csv", f"mapping={name}"]
        toy.run(overrides=own)
        assert toy.stale(overrides=own) == {}
        file.write_text(file.read_text() + "# changed\n")
        assert toy.stale(overrides=own) == {"01_eda": f"mapping {file.stem} changed"}


def test_a_parameter_stales_the_steps_that_know_it(toy):
    assert toy.stale(overrides=["epochs=5"]).keys() == {*ALL[1:], "report"}
    assert toy.stale(overrides=["epochs=5"])[ALL[1]] == "epochs = 4, now 5"
    assert set(toy.stale(overrides=["size=64"])) == {*ALL, "report"}
    assert ALL[1] not in toy.stale(overrides=["backbone.densenet121.epochs=9"])
    assert ALL[2] in toy.stale(overrides=["backbone.densenet121.epochs=9"])


def test_another_backbone_is_trained_alone(toy):
    added = ['backbones=["resnet50", "densenet121", "vit_base_patch16_224"]']
    assert toy.run(overrides=added) == ["02_train_backbone_vit_base_patch16_224", "03_ensemble", "06_report"]
    assert toy.run(overrides=added) == []


def test_a_notebook_that_changes_is_run_again_and_what_it_no_longer_makes_goes(toy):
    kept = read_manifest(toy.outputs)["artifacts"].keys()
    edit(toy.given["notebooks"] / "01_eda.ipynb", r"\"counts\"", r"\"classes\"")
    assert toy.stale() == {"01_eda": "the notebook changed"}
    assert toy.run() == ["01_eda", "06_report"]  # the second read that table, among others
    made = read_manifest(toy.outputs)["artifacts"].keys()
    assert kept - made == {"tables/01_counts.csv", "tables/01_counts.tex"}
    assert made - kept == {"tables/01_classes.csv", "tables/01_classes.tex"}
    assert sorted(f.name for f in (toy.outputs / "tables").glob("01_*")) == ["01_classes.csv", "01_classes.tex"]


def test_code_that_changes_stales_the_notebooks_that_import_it(toy, monkeypatch):
    package = toy.folder / "lesionkit"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "PACKAGE", package)
    assert toy.stale() == {}
    (package / "evidence" / "predictions.py").open("a").write("\n# a comment\n")
    assert toy.stale() == {}
    (package / "evidence" / "predictions.py").open("a").write("\nMORE = 1\n")
    assert toy.stale()["03_ensemble"] == "evidence/predictions.py changed"


def test_a_lost_or_edited_output_is_made_again(toy):
    (toy.outputs / "predictions" / "resnet50.parquet").unlink()
    assert toy.stale()["02_train_backbone_resnet50"] == "predictions/resnet50.parquet is missing"
    assert toy.run() == ["02_train_backbone_resnet50"]
    (toy.outputs / "tables" / "03_leaderboard.csv").write_text("better\n")
    assert toy.stale()["03_ensemble"] == "tables/03_leaderboard.csv changed"
    assert toy.run() == ["03_ensemble"]


def test_results_made_by_hand_with_other_settings_are_not_taken_for_the_study_s(toy):
    given = {key: value for key, value in toy.given.items() if key != "notebooks"} | {"overrides": ["epochs=9"]}
    books.run_here(toy.given["notebooks"] / "03_ensemble.ipynb", toy.folder / "scratch.ipynb", given)
    assert "made with other settings" in toy.stale()["03_ensemble"]
    books.run_here(
        toy.given["notebooks"] / "03_ensemble.ipynb", toy.folder / "scratch.ipynb", given | {"overrides": []}
    )
    assert toy.stale() == {}


def test_only_and_force(toy):
    assert toy.run(only=["03"], force=True) == ["03_ensemble"]
    assert toy.run(only=["02_train_backbone_densenet121"], force=True) == ["02_train_backbone_densenet121"]
    assert toy.run(only=["02"], force=True) == ALL[1:3]
    assert toy.run(force=True) == ALL
    with pytest.raises(StudyError, match="07: use a number"):
        toy.run(only=["07"])


def test_a_failing_notebook_stops_the_run_and_leaves_what_was_there(toy, monkeypatch):
    before = (toy.outputs / "notebooks" / "03_ensemble.ipynb").read_text()

    def fail(source, target, parameters, threads):
        raise execution.NotebookFailed("cell In [3] raised ValueError: no")

    monkeypatch.setattr(execution, "execute", fail)
    with pytest.raises(pipeline.RunError, match="03_ensemble failed: .*ValueError: no"):
        toy.run(only=["03"], force=True)
    assert (toy.outputs / "notebooks" / "03_ensemble.ipynb").read_text() == before
    assert toy.stale()["03_ensemble"] == "its last run did not end"
    monkeypatch.setattr(execution, "execute", toy.execute)
    assert toy.run() == ["03_ensemble"]


def test_an_interrupted_run_says_how_to_go_on(toy, monkeypatch):
    def interrupted(source, target, parameters, threads):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "execute", interrupted)
    with pytest.raises(pipeline.RunError, match="stopped in 03_ensemble: the same command goes on"):
        toy.run(only=["03"], force=True)


def test_two_runs_in_one_folder_are_told_apart(toy):
    with FileLock(toy.outputs / ".run.lock"), pytest.raises(pipeline.RunError, match="another run is at work"):
        toy.run()


def test_a_kernel_gets_the_threads_of_the_study_or_of_its_backbone(toy):
    toy.run(overrides=["threads=2", "backbone.resnet50.threads=3"], force=True)
    assert toy.threads == {"01_eda": 2, "02_train_backbone_resnet50": 3, "02_train_backbone_densenet121": 2,
                           "03_ensemble": 2, "06_report": 2}  # fmt: skip


def test_phantoms_belong_to_the_first_notebook(tmp_path, monkeypatch):
    toy = Toy(tmp_path)
    (tmp_path / "toy.toml").write_text('backbones = ["resnet50"]\nphantoms = 30\n')
    cells = [
        "run.data.mkdir(parents=True, exist_ok=True)",
        '(run.data / "labels.csv").write_text("image_id,dx\\na,mel\\n")',
        *books.CELLS["01_eda"],
    ]
    books.write_notebook(tmp_path / "notebooks", "01_eda", cells)
    monkeypatch.setattr(execution, "execute", toy.execute)
    toy.given["data"] = ""
    assert toy.run() == ["01_eda", "02_train_backbone_resnet50", "03_ensemble", "06_report"]
    assert toy.run() == []
    shutil.rmtree(toy.outputs / "data")
    assert "the images are not in" in toy.stale()["01_eda"]
    assert toy.run() == ["01_eda"]  # and the same images come back


def test_no_notebooks_is_said_before_anything_is_written(toy):
    with pytest.raises(StudyError, match="no notebooks in"):
        toy.run(notebooks=toy.folder / "nowhere", out=str(toy.folder / "other"))
    assert not (toy.folder / "other").exists()


def test_a_folder_of_weights_means_the_same_in_the_kernel(toy, monkeypatch):
    (toy.folder / "weights").mkdir()
    monkeypatch.chdir(toy.folder)
    toy.run(overrides=["weights=weights", "weights_dir=nowhere"], only=["06"])
    assert toy.parameters["overrides"] == ["weights=../weights", "weights_dir=nowhere"]


def test_nothing_unchanged_is_read_twice(toy, monkeypatch):
    assert toy.stale() == {}
    monkeypatch.setattr("lesionkit.workbook.hashes.file_hash", lambda path: pytest.fail(f"{path} is read again"))
    assert toy.stale() == {}


def test_a_manifest_names_the_inputs_of_each_step(toy):
    steps = json.loads((toy.outputs / "manifest.json").read_text())["steps"]
    assert set(steps["03_ensemble"]["parts"]["inputs"]) == {
        "splits/split.csv", "predictions/resnet50.parquet", "predictions/densenet121.parquet"}  # fmt: skip
    assert steps["01_eda"]["parts"]["inputs"] == {} and steps["01_eda"]["seconds"] >= 0
    assert set(steps["06_report"]["parts"]["inputs"]) == {"tables/01_counts.csv", "tables/03_leaderboard.csv"}


def test_entries_of_an_earlier_backbone_stay(toy):
    toy.run(overrides=['backbones=["resnet50"]'])
    assert (toy.outputs / "predictions" / "densenet121.parquet").exists()
    assert toy.run() == ["03_ensemble", "06_report"]  # nothing is trained again
