"""Panels of somebody's own images: one a file, the same probabilities as `predict`, and nothing overwritten."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import typer
from explain.saved import photographs, saved_run
from PIL import Image

from lesionkit import cli
from lesionkit.data.records import CLASSES
from lesionkit.explain.cams import METHODS
from lesionkit.learning import inference
from lesionkit.workbook import explaining
from lesionkit.workbook.caveats import SYNTHETIC

SIZES = {"baseline_cnn": 32, "test_resnet": 64}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved_run(tmp_path_factory.mktemp("run"), SIZES, tta=8, phantoms=9)


def test_a_panel_a_file_and_the_probabilities_of_predict(run, tmp_path):
    files = photographs(tmp_path, "one/a.png", "two/a.jpg")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(files[1].read_bytes()[:200])
    out, drawn = tmp_path / "new" / "panels", plt.get_fignums()
    table, unreadable = explaining.explain_files(run, [broken, *files, files[0]], out, "hirescam")
    assert sorted(file.name for file in out.iterdir()) == ["a.png", "a_2.png", "probabilities.csv"]
    assert len(unreadable) == 1 and "broken.jpg" in str(unreadable[0])
    expected = inference.predict_files(run, files)[0]
    for one in (table, pd.read_csv(out / "probabilities.csv")):
        pd.testing.assert_frame_equal(one, expected, check_dtype=False, atol=1e-6)
    width, height = Image.open(out / "a.png").size
    assert width > 2 * height > 200 and plt.get_fignums() == drawn


def test_a_panel_shows_what_was_found(run, tmp_path, monkeypatch):
    shown, saved, plot, write = [], [], explaining.plot_cam_panel, explaining.write_atomically

    def plotted(*args, **more):
        shown.append((args, more))
        return plot(*args, **more)

    def written(path, how):
        saved.append(plt.gcf())
        write(path, how)

    monkeypatch.setattr(explaining, "plot_cam_panel", plotted)
    monkeypatch.setattr(explaining, "write_atomically", written)
    files = photographs(tmp_path, "x/a.png", "x/b.png")
    table, _ = explaining.explain_files(run, files, tmp_path / "out")
    calls = table.set_index(["file", "model"])["call"]
    for file, ((images, maps), more), figure in zip(files, shown, saved[:2], strict=True):
        p = table.query("model == 'ensemble' and file == @file.as_posix()").filter(like="p_").to_numpy()
        assert list(maps) == [*SIZES, "ensemble"] and images[0].shape == (64, 64, 3)
        assert more["calls"] == {name: [calls[str(file), name]] for name in maps}
        assert np.array_equal(more["probabilities"], p)
        assert more["rows"] == [f"{CLASSES[p.argmax()]}\np = {p.max():.2f}"] and "truth" not in more
        assert figure.axes[0].get_title("left") == f"x/{file.name}"
        assert [text.get_text() for text in figure.texts] == [f"Models of study toy. {SYNTHETIC}"]


def test_maps_are_for_the_ensembles_call(run, tmp_path, monkeypatch):
    asked = []

    def explained(members, files, targets, *how):
        asked.append((list(members), list(targets), how))
        return []

    monkeypatch.setattr(explaining, "explained", explained)
    files = photographs(tmp_path, "a.png", "b.png", "c.png")
    table, _ = explaining.explain_files(run, files, tmp_path / "out", "layercam")
    called = table.loc[table["model"] == "ensemble", "call"]
    assert asked == [(list(SIZES), [CLASSES.index(dx) for dx in called], ("layercam", dict.fromkeys(SIZES, 1 / len(SIZES))))]


def test_nothing_is_written_where_no_file_can_be_read(run, tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    table, unreadable = explaining.explain_files(run, [tmp_path / "a.jpg"], tmp_path / "out")
    assert table.empty and len(unreadable) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("files, names", [
    (["x/a.jpg", "y/a.jpg", "z/a.png", "b.jpg"], ["a.png", "a_2.png", "a_3.png", "b.png"]),
    (["x/a.jpg", "y/a.jpg", "a_2.jpg"], ["a.png", "a_3.png", "a_2.png"]),  # a file's own name comes first
    (["a.jpg", "A.jpg", "a.b.jpg"], ["a.png", "A_2.png", "a.b.png"]),
])  # fmt: skip
def test_no_two_panels_have_one_name(files, names):
    assert explaining.figure_names([Path(file) for file in files]) == names


def test_an_unknown_method_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(ValueError, match="method 'gradcan': use one of gradcam, "):
        explaining.explain_files(tmp_path / "no run", [], tmp_path / "out", "gradcan")


def test_the_command_names_the_methods_that_there_are():
    [method] = [one for one in typer.main.get_command(cli.app).commands["explain"].params if one.name == "method"]
    assert method.help.rstrip(".").split(", ") == list(METHODS) == list(explaining.METHODS)
