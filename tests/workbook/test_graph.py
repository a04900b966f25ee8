import json
from pathlib import Path

import pytest

from lesionkit.study import Study
from lesionkit.workbook import graph, steps
from lesionkit.workbook.staleness import Step

OUTPUTS = Path(__file__).parents[2] / "outputs" / "isic84"
STUDY = Study("toy", backbones=("resnet50", "densenet121", "vit"))
STEPS = steps.steps_of(STUDY)
EMPTY = {"artifacts": {}, "steps": {}}


def waits(name, among=STEPS, study=STUDY):
    step = next(step for step in among if step.id.startswith(name))
    return {other.id.replace("train_backbone_", "") for other in graph.waits_for(step, among, study)}


def test_what_each_step_waits_for():
    trained = {"02_resnet50", "02_densenet121", "02_vit"}
    assert waits("01") == set()
    assert waits("02_train_backbone_vit") == {"01_eda"}
    assert waits("02b") == {"01_eda", "02_resnet50"}  # the first backbone alone
    assert waits("03_") == waits("05_") == waits("05d") == {"01_eda", *trained}
    assert waits("03b") == waits("03c") == waits("04_") == waits("04b") == waits("04c") == {*waits("03_"), "03_ensemble"}
    assert waits("06") == {step.id.replace("train_backbone_", "") for step in STEPS} - {"06_report", "07_robustness", "report"}
    assert waits("07") == {"01_eda", "02_resnet50"}
    assert waits("report") == waits("06") | {"06_report", "07_robustness"}


def test_every_notebook_waits_for_all_that_its_results_were_read_from():
    artifacts = json.loads((OUTPUTS / "manifest.json").read_text())["artifacts"]
    names = {entry["backbone"]: None for entry in artifacts.values() if "backbone" in entry}
    study = Study("isic84", backbones=("baseline_cnn", *(name for name in names if name != "baseline_cnn")))
    every, seen = steps.steps_of(study), 0
    for path, entry in artifacts.items():
        mine = next(step for step in every if step.made(entry))
        for read in entry.get("inputs", {}):
            maker = next(step for step in every if step.made(artifacts[read]))
            assert maker == mine or maker in graph.waits_for(mine, every, study), f"{path} was made from {read}"
            seen += maker != mine
    assert seen > 1000


def test_a_notebook_that_is_not_in_the_table_waits_for_all_before_it():
    more = [*STEPS[:-1], Step("03d_more", source=Path("x")), Step("08_new", source=Path("x")), STEPS[-1]]
    assert waits("03d", more) == {"01_eda", "02_resnet50", "02_densenet121", "02_vit", "02b_controls", "03_ensemble"}
    assert waits("08", more) == {step.id.replace("train_backbone_", "") for step in more} - {"08_new", "report"}


def test_only_what_was_chosen_is_waited_for():
    chosen = [step for step in STEPS if step.number in ("01", "04")]
    assert waits("04b", chosen) == {"01_eda"}


def test_folds_are_jobs_before_their_step():
    study = STUDY.changed_for("vit", folds=3)
    jobs = graph.jobs_of(STEPS, study, EMPTY)
    parts = {f"02_train_backbone_vit fold {fold}" for fold in (1, 2, 3)}
    assert {name for name, job in jobs.items() if job.fold} == parts
    assert all(jobs[name].waits == {"01_eda"} for name in parts)
    assert jobs["02_train_backbone_vit"].waits == {"01_eda", *parts}
    assert not parts & jobs["03_ensemble"].waits  # the step itself is enough


def test_what_trains_or_explains_needs_a_gpu_for_each_of_its_processes():
    jobs = graph.jobs_of(STEPS, STUDY.changed_for("vit", processes=4, folds=3), EMPTY)
    needs = {name: job.gpus for name, job in jobs.items() if job.gpus}
    assert needs.pop("02_train_backbone_vit") == needs.pop("02_train_backbone_vit fold 2") == 4
    assert set(needs.values()) == {1, 4} and {"02b_controls", "05_explainability"} < set(needs)
    first = graph.jobs_of(STEPS, STUDY.changed_for("resnet50", processes=2), EMPTY)
    assert first["02b_controls"].gpus == 2 and first["05_explainability"].gpus == 1  # trains that one; only explains
    assert not any(jobs[name].gpus for name in ("01_eda", "03_ensemble", "report"))


def test_the_head_of_the_longest_chain_is_the_most_urgent():
    seconds = {f"02_train_backbone_{name}": value for name, value in {"vit": 500, "densenet121": 10, "resnet50": 20}.items()}
    seconds["02b_controls"] = 300
    known = {"artifacts": {}, "steps": {step.id: {"seconds": seconds.get(step.id, 1.0)} for step in STEPS}}
    jobs = graph.jobs_of(STEPS, STUDY, known)
    urgency = graph.urgency(jobs)
    trained = sorted((name for name in jobs if name.startswith("02_")), key=lambda name: -urgency[name])
    assert [name.rpartition("_")[2] for name in trained] == ["vit", "resnet50", "densenet121"]  # 02b waits for resnet50
    assert urgency["report"] == 1 and urgency["06_report"] == 2 and urgency["01_eda"] == max(urgency.values())
    assert urgency["02_train_backbone_resnet50"] == pytest.approx(20 + 300 + 1 + 1)


def test_what_waits_for_what_is_stale_is_touched():
    def touched(*stale):
        return [step.prefix for step in graph.touched(set(stale), STEPS, STUDY)]

    assert touched() == []
    assert touched("report") == ["report"]
    assert touched("02_train_backbone_vit") == ["02", "03", "03b", "03c", "04", "04b", "04c", "05", "05b", "05c", "05d", "06", "report"]
    assert touched("02b_controls") == ["02b", "06", "report"]
