"""A study without external images, with a weighted ensemble: nothing is asked of an outside, and nothing said of it."""

import pandas as pd
import pytest
from test_notebooks import TINY

from lesionkit.data import own
from lesionkit.study import StudyError, load
from lesionkit.workbook import pipeline, steps


def test_its_steps_look_inside_alone():
    names = [step.id for step in steps.steps_of(load("ham224"))]
    assert "04c_subgroups" in names and not {"04_external_validation", "04b_shift"} & {*names}


def test_there_are_no_images_outside_and_no_mapping_for_them(tmp_path):
    index, problems = own.external(tmp_path, "none")
    assert index.empty and problems.empty and "image_id" in index
    with pytest.raises(StudyError, match="mapping = 'isic'"):
        load("demo", ["external=none", "mapping=isic"])


@pytest.mark.slow
def test_every_notebook_runs_and_speaks_of_no_outside(tmp_path):
    (tmp_path / "inside.toml").write_text(TINY)
    settings = ["external=none", "ensemble=weighted"]
    out = pipeline.run_study(str(tmp_path / "inside.toml"), out=str(tmp_path / "out"), overrides=settings, say=lambda line: None)
    split = pd.read_csv(out / "splits" / "split.csv")
    assert set(split["split"]) == {"train", "val", "test"}
    shares = pd.read_csv(out / "models" / "ensemble.csv").set_index("model")["share"]
    assert shares.sum() == pytest.approx(1) and set(shares.index) == {"baseline_cnn", "test_resnet"}
    said = (out / "tables" / "06_findings.md").read_text(encoding="utf-8")
    card = (out / "tables" / "06_model_card.md").read_text(encoding="utf-8")
    assert "outside" not in said and "learnt from: expect worse elsewhere" in card and "by weights fitted on validation" in card
    assert not (out / "figures" / "06_inside_outside.png").exists() and (out / "report" / "index.html").exists()
