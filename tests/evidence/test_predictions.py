"""The prediction table: what is written comes back, and every fault is refused by its name."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table


@pytest.fixture
def good() -> pd.DataFrame:
    return table("resnet50", rows(14))


def test_build_keeps_rows_and_columns_in_order(good):
    assert list(good.columns) == list(predictions.COLUMNS)
    assert good["image_id"].tolist() == rows(14)["image_id"].tolist()
    assert set(good["model"]) == {"resnet50"}
    assert (good[list(predictions.PROBABILITIES)].dtypes == np.float32).all()


def test_build_takes_the_split_table_with_dx():
    described = rows(7).rename(columns={"y_true": "dx"}).assign(source="HAM10000")
    built = predictions.build(described.set_index(pd.Index(range(50, 57))), np.eye(7), "a")
    assert list(built.columns) == list(predictions.COLUMNS)
    assert built["y_true"].tolist() == described["dx"].tolist()
    np.testing.assert_array_equal(predictions.probabilities(built), np.eye(7))


def test_targets_and_probabilities_by_hand(good):
    named = good.assign(y_true=list(CLASSES) * 2)
    np.testing.assert_array_equal(predictions.targets(named), [0, 1, 2, 3, 4, 5, 6] * 2)
    turned = named[list(reversed(named.columns))]  # columns by name, not by place
    np.testing.assert_array_equal(predictions.probabilities(turned), predictions.probabilities(named))


def test_write_then_read_gives_the_same_table(good, tmp_path):
    other = table("vit_base_patch16_224", rows(14), seed=1)
    files = {tmp_path / "deep" / "0.parquet": good, tmp_path / "deep" / "1.parquet": other}
    paths = [predictions.write(one, file) for file, one in files.items()]
    pd.testing.assert_frame_equal(predictions.read(paths[0]), good)
    pd.testing.assert_frame_equal(predictions.read(paths), pd.concat([good, other], ignore_index=True))
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["0.parquet", "1.parquet"]


def test_same_table_same_bytes_and_no_further_column(good, tmp_path):
    one = predictions.write(good, tmp_path / "one.parquet")
    two = predictions.write(good.assign(age=50.0), tmp_path / "two.parquet")
    assert one.read_bytes() == two.read_bytes()


def test_failed_write_leaves_the_old_file(good, tmp_path, monkeypatch):
    path = predictions.write(good, tmp_path / "a.parquet")
    before = path.read_bytes()

    def break_off(self, target, **_):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", break_off)
    with pytest.raises(OSError, match="disk full"):
        predictions.write(good.iloc[:3], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def changed(table: pd.DataFrame, column: str, value, row: int = 3) -> pd.DataFrame:
    copy = table.copy()
    copy[column] = copy[column].astype(object) if isinstance(value, str | None) else copy[column]
    copy.loc[row, column] = value
    return copy


FAULTS = {
    "a class too few": (lambda t: t.drop(columns="p_vasc"), "missing column p_vasc"),
    "a class too many": (lambda t: t.assign(p_scc=0.0), "unknown class column p_scc"),
    "another name": (lambda t: t.rename(columns={"p_akiec": "p_ak"}), "unknown class column p_ak:"),
    "no lesion ids": (lambda t: t.drop(columns="lesion_id"), "missing column lesion_id"),
    "column twice": (lambda t: pd.concat([t, t[["split"]]], axis=1), "split is there more than once"),
    "no rows": (lambda t: t.iloc[:0], "no rows"),
    "sum": (lambda t: changed(t, "p_mel", 1.5), "1 rows hold probabilities that do not sum to 1"),
    "NaN": (lambda t: changed(t, "p_mel", np.nan), "NaN or infinite, first image ISIC_0000003 of"),
    "infinite": (lambda t: changed(t, "p_mel", np.inf), "NaN or infinite"),
    "negative": (lambda t: changed(t, "p_mel", -0.1), "a negative probability"),
    "text": (lambda t: t.assign(p_mel="high"), "p_mel holds .* not numbers"),
    "key twice": (
        lambda t: pd.concat([t, t.iloc[[5]]]),
        "1 duplicate keys, first image ISIC_0000005 of model resnet50",
    ),
    "unknown class": (lambda t: changed(t, "y_true", "scc"), r"unknown class in y_true: scc \(1 rows\)"),
    "class numbers": (lambda t: t.assign(y_true=4), "unknown class in y_true: 4"),
    "no class": (lambda t: changed(t, "y_true", None), "y_true is missing in 1 of 14 rows"),
    "no model": (lambda t: changed(t, "model", None), "model is missing in 1 of 14 rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_refused_by_name(fault, good, tmp_path):
    spoil, message = FAULTS[fault]
    with pytest.raises(PredictionError, match=message):
        predictions.check(spoil(good))
    with pytest.raises(PredictionError, match=message):
        predictions.write(spoil(good), tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


def test_read_names_the_file(good, tmp_path):
    good.drop(columns="p_nv").to_parquet(tmp_path / "narrow.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(PredictionError, match="narrow.parquet: missing column p_nv"):
        predictions.read(tmp_path / "narrow.parquet")
    with pytest.raises(PredictionError, match="text.parquet: no readable Parquet"):
        predictions.read(tmp_path / "text.parquet")
    with pytest.raises(PredictionError, match="gone.parquet: no such file"):
        predictions.read([tmp_path / "gone.parquet"])
    with pytest.raises(PredictionError, match="no prediction file given"):
        predictions.read([])


def test_the_same_file_twice_is_refused(good, tmp_path):
    path = predictions.write(good, tmp_path / "a.parquet")
    with pytest.raises(PredictionError, match="14 duplicate keys"):
        predictions.read([path, path])


@pytest.mark.parametrize("shape", [(14, 6), (14, 8), (13, 7), (14,)])
def test_build_refuses_a_wrong_width_or_length(shape):
    with pytest.raises(PredictionError, match=r"expected \(14, 7\)"):
        predictions.build(rows(14), np.full(shape, 1 / 7), "a")


def test_float32_rounding_of_a_softmax_passes_and_inputs_are_kept(good):
    described, p = rows(14), np.full((14, 7), 1 / 7, dtype=np.float16)
    before = described.copy(), p.copy()
    predictions.build(described, p / p.astype(float).sum(axis=1, keepdims=True), "a")
    pd.testing.assert_frame_equal(described, before[0])
    np.testing.assert_array_equal(p, before[1])
    copy = good.copy()
    assert predictions.check(good) is good
    pd.testing.assert_frame_equal(good, copy)


def test_by_model_aligns_images_and_refuses_others():
    a, b = table("a", rows(14)), table("b", rows(14), seed=1)
    tables = predictions.by_model(pd.concat([b.iloc[::-1], a]), split="test")
    assert list(tables) == ["b", "a"]
    for rows_of_model in tables.values():
        assert rows_of_model["image_id"].tolist() == b["image_id"].tolist()[::-1]
    with pytest.raises(PredictionError, match="a do not hold the same images: 1 .* first ISIC_0000013"):
        predictions.by_model(pd.concat([a, b.iloc[:-1]]))
    with pytest.raises(PredictionError, match="disagree on y_true of 1 images, first ISIC_0000000"):
        other = "nv" if b.loc[0, "y_true"] != "nv" else "mel"
        predictions.by_model(pd.concat([a, changed(b, "y_true", other, row=0)]))
    with pytest.raises(PredictionError, match="no prediction of split 'external' is chosen.*splits test"):
        predictions.by_model(a, split="external")
    with pytest.raises(ValueError, match="expected 14 booleans"):
        predictions.by_model(a, where=[True])


def test_evidence_loads_no_torch():
    code = (
        "import sys, lesionkit.evidence, lesionkit.evidence.ensembles, lesionkit.evidence.leaderboards; "
        "assert not {'torch', 'timm', 'fastai', 'matplotlib'} & set(sys.modules), 'torch was loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_cluster_of_an_image_is_its_group_where_known_and_else_its_lesion(tmp_path):
    described = rows(14)
    assert predictions.clusters(table("a", described)).tolist() == described["lesion_id"].tolist()
    grouped = table("a", described.assign(group_id="G"))
    file = predictions.write(grouped.assign(energy=1.5), tmp_path / "a.parquet")
    again = predictions.read(file)
    assert set(predictions.clusters(again)) == {"G"} and again["energy"].tolist() == [1.5] * 14
    with pytest.raises(predictions.PredictionError, match="energy is missing in 7% of the rows of a"):
        predictions.check(again.assign(energy=again["energy"].where(again.index > 0)))
