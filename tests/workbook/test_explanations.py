"""What stands between notebooks 05 and the library: the right columns, groups and regions; the notebooks run the rest."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionkit.data.records import CLASSES
from lesionkit.evidence import means
from lesionkit.explain.members import Member
from lesionkit.plots.localisation import plot_localisation
from lesionkit.study import Study
from lesionkit.workbook import explanations
from lesionkit.workbook.artifacts import Run

DRAWN = {"count": 100, "seed": 0}
SAMPLE = pd.DataFrame({"image_id": ["a", "b", "c"], "cluster": ["1", "2", "3"], "target": [0, 4, 5], "p": [0.5, 0.6, 0.7]})


class Fixed(Member):
    """Says mel the surer the darker the image's middle is."""

    def predict(self, images):
        near = slice(images.shape[1] * 3 // 8, images.shape[1] * 5 // 8)
        dark = 1 - images[:, near, near].mean(axis=(1, 2, 3)) / 255
        p = np.full((len(images), 7), 0.0)
        p[:, CLASSES.index("mel")], p[:, CLASSES.index("nv")] = dark, 1 - dark
        return p


@pytest.fixture()
def run(tmp_path):
    (tmp_path / "images").mkdir()
    return Run(Study("toy", size=32, backbones=("x",)), tmp_path / "out", tmp_path / "images", "05d_shortcuts")


def draw_mask(run, name, box):
    folder = run.data / run.study.masks
    folder.mkdir(exist_ok=True)
    mask = np.zeros((32, 32), np.uint8)
    mask[box] = 255
    Image.fromarray(mask).save(folder / f"{name}_segmentation.png")


@pytest.fixture()
def member():
    images = np.full((3, 32, 32, 3), 220, np.uint8)
    images[:, 10:22, 10:22] = 40
    return Fixed("x", None, {}, images)


def test_gains_are_above_0_where_the_map_is_the_better_order():
    rows = {"insertion": [0.6, 0.8], "insertion_random": [0.5, 0.5], "insertion_centre": [0.7, 0.7], "deletion": [0.2, 0.1],
            "insertion_other": [0.6, 0.6], "deletion_other": [0.3, 0.3], "deletion_random": [0.5, 0.5], "deletion_centre": [0.1, 0.1],
            "drop": [10, 20], "increase": [0, 1]}  # fmt: skip
    table = explanations.gains(pd.DataFrame(rows | {"model": "x", "cluster": ["1", "2"]}), ["model"], **DRAWN)
    value = table.set_index("metric")["value"]
    assert value["insertion - insertion_random"] == pytest.approx(0.2) and value["deletion_random - deletion"] == pytest.approx(0.35)
    assert value["insertion - insertion_centre"] == pytest.approx(0) and value["deletion_centre - deletion"] == pytest.approx(-0.05)
    assert value["insertion - insertion_other"] == pytest.approx(0.1) and value["deletion_other - deletion"] == pytest.approx(0.15)
    assert value["drop"] == 15 and value["increase"] == 0.5 and (table["n"] == 2).all()


def test_the_background_is_told_by_the_class_called():
    rows = {"call": ["akiec", "nv", "nv"], "background_to_lesion": [0.5, 0.2, 0.4], "background": [0.1, 0.2, 0.2],
            "lesion": [0.2, 1.0, 0.5], "cluster": ["1", "2", "3"]}  # fmt: skip
    table = explanations.background(pd.DataFrame(rows), **DRAWN).set_index(["class", "metric"])["value"]
    assert table["akiec", "background_to_lesion"] == 0.5 and table["other classes", "background_to_lesion"] == pytest.approx(0.3)
    assert table["all", "background / lesion"] == pytest.approx(0.5 / 1.7) and ("mel", "background_to_lesion") not in table
    assert explanations.background(pd.DataFrame(rows).iloc[:0], **DRAWN).columns.tolist() == ["class", *means.COLUMNS]


def test_only_images_with_an_outline_are_localised(run, member, monkeypatch):
    maps = {"x": np.zeros((3, 32, 32), np.float32), "ensemble": np.zeros((3, 32, 32), np.float32)}
    maps["x"][:, 10:22, 10:22] = 1
    nothing = explanations.localised(run, SAMPLE, {}, maps)
    table = means.paired(nothing, "energy", "lesion_area", ["model", "twin"], **DRAWN)
    assert nothing.empty and table.empty and explanations.background(nothing.assign(call=""), **DRAWN).empty
    assert "Not available" in plot_localisation(table).texts[0].get_text()
    draw_mask(run, "b", np.s_[10:22, 10:22])
    scores = explanations.localised(run, SAMPLE, {}, maps)
    assert scores[["image_id", "model", "twin"]].to_numpy().tolist() == [["b", "x", "trained"], ["b", "ensemble", "trained"]]
    assert scores["energy"].tolist() == pytest.approx([1, (12 / 32) ** 2])
    monkeypatch.setattr(explanations, "twin", lambda model, config, images, seed: seed)
    monkeypatch.setattr(explanations, "cam_maps", lambda network, config, images, targets, methods: {
        method: np.stack([np.pad(np.full((12, 12), network > 0, np.float32), 10)] * len(images)) for method in methods})  # fmt: skip
    twins = explanations.localised(run, SAMPLE, {"x": member}, maps).query("twin == 'randomised'")
    expected = ((explanations.TWINS - 1) + (12 / 32) ** 2) / explanations.TWINS  # the first twin's map is constant
    assert twins["energy"].tolist() == pytest.approx([expected]) and twins["constant"].tolist() == pytest.approx([1 / explanations.TWINS])


def test_a_score_undefined_for_one_random_network_is_the_mean_of_the_others(run, member, monkeypatch):
    draw_mask(run, "b", np.s_[10:22, 10:22])
    on = np.pad(np.ones((12, 12), np.float32), 10)
    levels = iter([1 - on, on, (1 + on) / 2, on, (1 + on) / 2, on])  # the first lights nothing on the lesion
    monkeypatch.setattr(explanations, "twin", lambda *of: None)
    monkeypatch.setattr(explanations, "cam_maps", lambda network, config, images, targets, methods: {
        method: next(levels)[None] for method in methods})  # fmt: skip
    maps = {"x": np.ones((3, 32, 32), np.float32)}
    row = explanations.localised(run, SAMPLE, {"x": member}, maps).query("twin == 'randomised'").iloc[0]
    assert row["background_to_lesion"] == pytest.approx((0 + 0.5 + 0 + 0.5 + 0) / 5)


def test_trained_and_randomised_are_paired_by_image_and_a_model_without_a_twin_has_no_row():
    nan = float("nan")
    rows = [("x", "trained", "a", 0.6, nan, nan), ("x", "trained", "b", 0.5, nan, nan), ("ensemble", "trained", "a", 0.9, nan, nan),
            ("x", "randomised", "b", 0.3, 0.1, 0.5), ("x", "randomised", "a", 0.2, 0.1, 0.3)]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["model", "twin", "image_id", "energy", "energy_0", "energy_1"])
    scores = scores.assign(lesion_area=0.1, cluster=["1", "2", "1", "2", "1"])
    table = explanations.energies(scores, **DRAWN)
    assert table[["model", "twin", "n"]].to_numpy().tolist() == [
        ["x", "trained", 2], ["ensemble", "trained", 1], ["x", "randomised", 2], ["x", "trained - randomised", 2]]  # fmt: skip
    assert table["value"].tolist() == pytest.approx([0.45, 0.8, 0.15, 0.3])  # 0.3 of 0.4 and 0.2
    assert table.loc[2:, ["low", "high"]].to_numpy().ravel() == pytest.approx([0, 0.4, 0, 0.5])  # of one image and one twin alone
    assert explanations.energies(scores.iloc[:0], **DRAWN).empty


def test_more_images_are_localised_where_they_have_an_outline(run, monkeypatch):
    ids = [f"i{k:02}" for k in range(20)]
    p = {f"p_{dx}": [1.0 if dx == "nv" else 0.0] * 20 for dx in CLASSES}
    scored = pd.DataFrame({"model": "ensemble", "image_id": ids, "lesion_id": ids, "split": "test", "y_true": "nv"} | p)
    run = replace(run, study=replace(run.study, scored=2))
    small, large = (explanations.cases.sample_cases(scored, per_class=count) for count in (2, 8))
    pd.testing.assert_frame_equal(explanations.outlined(run, scored), small)
    more = next(name for name in large["image_id"] if name not in set(small["image_id"]))
    draw_mask(run, more, np.s_[10:22, 10:22])
    assert explanations.outlined(run, scored)["image_id"].tolist() == sorted([*small["image_id"], more])
    everything = replace(run, study=replace(run.study, scored=0))
    assert len(explanations.outlined(everything, scored)) == 20


def enlarged(member):
    return replace(member, images=member.images.repeat(2, 1).repeat(2, 2))


def test_outlines_are_used_where_they_are_and_guessed_elsewhere_unless_the_image_is_too_small(run, member):
    draw_mask(run, "c", np.s_[0:4, 0:4])
    lesions = explanations.lesions_of(run, SAMPLE, enlarged(member))
    assert lesions[2].sum() == 64 and lesions[2][:8, :8].all()
    assert lesions[0][20:44, 20:44].mean() > 0.9 and lesions[0].sum() < 1200
    assert explanations.lesions_of(run, SAMPLE, member).sum((1, 2)).tolist() == [0, 0, 16]


def test_what_is_drawn_on_phantoms_is_known_and_on_photographs_guessed(run, member):
    assert set(explanations.regions_of(run, SAMPLE, member)) == {"border"}  # too small for guesses
    found = explanations.regions_of(run, SAMPLE, enlarged(member))
    assert set(found) == {"border", "corners", "hair", "ink"} and not any(found[name].any() for name in ("corners", "hair", "ink"))
    synthetic = replace(run, study=replace(run.study, phantoms=90))
    (run.data / "artefacts" / "ruler").mkdir(parents=True)
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(run.data / "artefacts" / "ruler" / "a_segmentation.png")
    found = explanations.regions_of(synthetic, SAMPLE, member)
    assert found["ruler"][0].all() and not found["ruler"][1:].any() and not found["hair"].any()


def test_scores_of_shortcuts_stand_beside_their_images(run, member):
    draw_mask(run, "b", np.s_[10:22, 10:22])
    maps = {"x": np.ones((3, 32, 32), np.float32)}
    read, removed = explanations.shortcut_scores(run, SAMPLE, {"x": member}, maps)
    assert set(read["region"]) == {"border"} and read["lift"].tolist() == pytest.approx([1, 1, 1])
    assert removed["image_id"].tolist() == ["a", "b", "c"] and removed["p"].tolist() == [0.5, 0.6, 0.7]  # the sample's own p
    mel = removed[removed["image_id"] == "b"].iloc[0]
    assert mel["p_with"] == pytest.approx(1 - 40 / 255) and mel["change"] < -0.5 and mel["kept"] == 0 and mel["call_without"] == "nv"
    assert removed["change"].isna().tolist() == [True, False, True]  # too small for a lesion to be guessed
    maps = {"x": np.ones((3, 64, 64), np.float32)}
    assert explanations.shortcut_scores(run, SAMPLE, {"x": enlarged(member)}, maps)[1]["change"].notna().all()
