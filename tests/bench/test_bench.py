"""The benchmark's arithmetic and its path from files to table. No speed is asserted: machines differ."""

import inspect
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionkit import cli
from lesionkit.bench import clock, files, tables
from lesionkit.bench import measuring as bench
from lesionkit.bench.measuring import bound_by

RATES = {  # of three rounds, made up
    "train_model": [100, 110, 90], "train_lesionkit": [99, 99, 99], "train_fastai": [50, 55, 30],
    "predict_model": [400, 400, 400], "predict_lesionkit": [200, 200, 200], "predict_fastai": [100, 100, 100],
    "batches": [2000, 2100, 2200], "plain_batches": [350, 350, 350], "fastai_batches": [90, 90, 90],
}  # fmt: skip
MEASURED = {"rates": RATES, "first_batch_seconds": 0.5, "peak_mb": 900.0, "gpu_peak_mb": 0.0, "device": "cpu", "gpu": "",
            "threads": 2, "torch": "2.9.0", "used_precision": "fp32"}  # fmt: skip
DECODING = {"decode": 300.0, "decode_pil": 150.0, "decode_to_pil": 2.0, "store": 280.0, "file_kb": 110.0}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """One tiny measurement for all tests, with one thread: others may be using the cores."""
    out = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("TMPDIR", str(out))
        said = []
        settings = bench.Settings(size=32, batch=4, images=24, rounds=1, seconds=0.0)
        table, errors = bench.bench(["baseline_cnn"], settings, said.append)
    return table, errors, said, out


def made_up(names=("baseline_cnn",), **changes):
    return pd.DataFrame([bench.as_row(name, MEASURED | changes, DECODING) for name in names]).assign(
        size=96, batch=16, precision="auto", cpu="A processor", cores=2, date="2026-01-01T00:00:00"
    )


def test_a_backbone_is_measured_from_files_to_table(measured):
    table, errors, said, out = measured
    assert not errors and said == ["decoding 24 files", "baseline_cnn, 1 of 1"]
    row = table.iloc[0]
    for task in bench.TASKS:
        rates = [row[f"{task}_{way}"] for way in bench.WAYS]
        assert all(rate > 0 for rate in rates)
        assert row[f"{task}_to_model"] == pytest.approx(rates[1] / rates[0])  # one round: exact
        assert row[f"{task}_to_fastai"] == pytest.approx(rates[1] / rates[2])
    assert row["decode_to_pil"] == pytest.approx(row["decode"] / row["decode_pil"])
    assert 100 < row["peak_mb"] < 20_000 and row["first_batch_seconds"] > 0 and row["file_kb"] == pytest.approx(110, rel=0.15)
    assert row["threads"] == 1 and row["device"] in ("cpu", "cuda", "mps") and row["cores"] and row["cpu"]
    assert list(out.iterdir()) == []  # the scratch folder is gone


def test_the_measured_row_can_be_shown_and_summed_up(measured):
    table = measured[0]
    assert set(made_up()) <= set(table)  # what the tests below make up is what is measured
    assert "baseline_cnn" in tables.text(table) and "baseline_cnn" in tables.summary(table)


def test_ratios_are_medians_of_the_rounds_ratios():
    row = bench.as_row("x", MEASURED, DECODING)
    assert row["train_model"] == 100 and row["train_fastai"] == 50
    assert row["train_to_model"] == pytest.approx(99 / 100)  # of 0.99, 0.9, 1.1
    assert row["train_to_fastai"] == pytest.approx(99 / 50)  # of 1.98, 1.8, 3.3


def test_bound_by_of_made_up_rates():
    row = bench.as_row("x", MEASURED, DECODING)
    assert row["train_bound_by"] == "the model"  # 0.99
    assert row["predict_bound_by"] == "reading the store"  # 2.5 ms beyond the model's, 2.9 ms of reading
    assert row["train_fastai_bound_by"] == "decoding files"  # 10 ms beyond the model's, 6.7 ms of decoding
    slow = bench.as_row("x", MEASURED | {"rates": RATES | {"train_lesionkit": [60, 60, 60]}}, DECODING)
    assert slow["train_bound_by"] == "Python overhead"  # 6.7 ms beyond the model's, 0.5 ms of batches


@pytest.mark.parametrize(("share", "alone", "on_cpu", "expected"), [
    (0.95, {"a": 1.0}, True, "the model"), (0.949, {"a": 1.0}, True, "a"), (0.90, {"a": 1.0}, False, "the model"),
    (0.899, {"a": 1.0}, False, "a"), (0.5, {"a": 200.0}, True, "a"), (0.5, {"a": 201.0}, True, "the rest"),
    (0.5, {"a": 201.0, "b": 199.0}, True, "b"), (0.5, {"a": 150.0, "b": 100.0}, True, "a"), (0.5, {}, True, "the rest"),
])  # fmt: skip
def test_a_bound_by_hand(share, alone, on_cpu, expected):
    assert bound_by(share, 100.0, alone, on_cpu, "the rest") == expected  # at 0.5 an image takes 10 ms more than the model


def test_the_text_fits_120_columns_and_names_the_machine():
    names = ["vit_base_patch16_clip_quickgelu_224.openai"]
    slow = dict.fromkeys(("train_lesionkit", "train_fastai", "predict_lesionkit", "predict_fastai"), [1_234.5] * 3)
    rates = dict.fromkeys(RATES, [123_456.7] * 3) | slow
    on_gpu = {"gpu": "NVIDIA H100 80GB HBM3", "gpu_peak_mb": 81_920.0, "device": "cuda"}
    text = tables.text(made_up(names, rates=rates, **on_gpu))
    assert max(map(len, text.splitlines())) <= 120 and "Python overhead" in text
    assert all(word in text for word in ("NVIDIA H100", "threads: 2", "GPU MB", "81,920", "123,457", "1,234"))
    assert "GPU MB" not in tables.text(made_up())


def test_the_summary_is_a_markdown_table():
    head, rule, row = tables.summary(made_up()).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|") == 10
    assert row.startswith("| baseline_cnn | 100 | 99.0 | 50.0 | 0.99 | 1.98 | the model | 0.50 | 2.00 |")


def test_files_are_frames_of_the_usual_size_seeded_and_labelled(tmp_path):
    index = files.write_files(tmp_path / "a", 33)
    again = files.write_files(tmp_path / "b", 33)
    other = files.write_files(tmp_path / "c", 3, seed=1)
    read = {folder: [(tmp_path / folder / path).read_bytes() for path in table["path"]]
            for folder, table in (("a", index), ("b", again), ("c", other))}  # fmt: skip
    assert read["a"] == read["b"] and len(set(read["a"])) == 33 and not set(read["a"]) & set(read["c"])
    assert Image.open(io.BytesIO(read["a"][0])).size == (600, 450)
    assert (index["path"].str.split("/").str[0] == index["dx"]).all() and index["dx"].nunique() > 1


def test_steps_follow_the_rates_and_ways_take_turns():
    done = []

    def way(name, batch, **more):
        return clock.Way(lambda steps: done.append((name, steps)) or float(steps), batch, **more)

    ways = {"a": way("a", 16), "b": way("b", 64, fewest=2), "c": way("c", 16, share=0.5), "d": way("d", 1)}
    warm = {"a": 160.0, "b": 1.0, "c": 160.0, "d": 1e9}
    rates = clock.in_turns(ways, warm, rounds=2, seconds=3.0, most=100)
    once = [("a", 30), ("b", 2), ("c", 15), ("d", 100)]
    assert done == once + once[::-1]
    assert rates == {"a": [30, 30], "b": [2, 2], "c": [15, 15], "d": [100, 100]}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only there can it be told from the parent's")
def test_the_peak_memory_is_that_of_the_process_alone():
    """getrusage would give a process that has just begun the peak of the one that started it."""
    held = np.ones(60_000_000)  # 480 MB
    code = "\n".join(["import resource, sys", "from pathlib import Path", inspect.getsource(clock.peak_mb), "print(peak_mb())"])
    small = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 1 < float(small) < 200 < held.nbytes / 1e6 <= clock.peak_mb()


def test_a_backbone_that_cannot_be_measured_does_not_stop_the_others(tmp_path, monkeypatch):
    def measured(job, scratch):
        if job["backbone"] == "resnet50":
            raise bench.BenchError("resnet50 could not be measured: no memory")
        return MEASURED

    monkeypatch.setattr(bench, "_measured", measured)
    monkeypatch.setattr(bench, "_decoding", lambda job: DECODING)
    table, errors = bench.bench(["resnet50", "baseline_cnn"], bench.Settings())
    assert list(table["backbone"]) == ["baseline_cnn"] and "no memory" in str(errors[0])


def test_a_process_that_fails_gives_its_last_words(tmp_path):
    with pytest.raises(bench.BenchError, match=r"resnet50 could not be measured \(exit code 1\).*index"):
        job = {"backbone": "resnet50", "size": 32, "batch": 4, "precision": "fp32", "folder": str(tmp_path / "f"),
               "index": str(tmp_path / "no_index"), "files": "", "store": ""}  # fmt: skip
        bench._measured(job, tmp_path)


def command(*args):
    with pytest.raises(SystemExit) as left:
        cli.main(["bench", *args])
    return left.value.code or 0


@pytest.mark.parametrize(("args", "said"), [
    (["resnt50"], "resnt50"), (["--size", "8"], "--size 8: between 32"), (["--batch", "1"], "--batch 1: between 2"),
    (["--precision", "fp8"], "fp32"), (["--images", "0"], "--images 0"), (["--rounds", "0"], "--rounds 0"),
    (["--out", "nowhere/x.csv"], "no such folder"), (["baseline_cnn", "baseline_cnn"], "named twice"),
])  # fmt: skip
def test_bad_usage_is_2_with_a_message(args, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(*args) == 2
    assert said in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_the_command_shows_the_tables_and_writes_all_numbers(capsys, tmp_path, monkeypatch):
    asked = {}

    def measured(names, settings, tell):
        asked.update(names=names, settings=settings)
        return made_up(names), []

    monkeypatch.setattr(bench, "bench", measured)
    assert command("baseline_cnn", "--size", "64", "--rounds", "2", "--out", str(tmp_path / "x.csv")) == 0
    assert asked == {"names": ["baseline_cnn"], "settings": bench.Settings(size=64, rounds=2)}
    assert "baseline_cnn" in capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "x.csv", keep_default_na=False), made_up(), check_dtype=False)
    assert command() == 0 and len(asked["names"]) == 7


def test_the_command_says_what_could_not_be_measured(capsys, monkeypatch):
    monkeypatch.setattr(bench, "bench", lambda *a, **k: (made_up(), [bench.BenchError("resnet50 could not be measured")]))
    assert command() == 1
    out, err = capsys.readouterr()
    assert "baseline_cnn" in out and "resnet50 could not be measured" in err
