"""JupyterLab as a person uses it: every notebook opened in a browser, Run All, and a look at what is shown, in both themes."""

import json
import shutil
from pathlib import Path

import lab
import pytest
from PIL import Image
from test_notebooks import NOTEBOOKS, TINY

playwright = pytest.importorskip("playwright.sync_api", reason="no browser is driven without playwright")
pytestmark = pytest.mark.slow
BACKBONES = ("baseline_cnn", "test_resnet")  # of TINY
RUNS = [(path, backbone) for path in NOTEBOOKS for backbone in (BACKBONES if path.stem.startswith("02_") else ("",))]
WIDTHS = (1400, 1000)
THEMES = ("JupyterLab Light", "JupyterLab Dark")


def write_copy(source: Path, target: Path, study: Path, backbone: str) -> None:
    """A copy with other parameters, as a person would edit them."""
    text = source.read_text(encoding="utf-8")
    for name, old, new in (("study", "demo", study.as_posix()), ("backbone", BACKBONES[0], backbone or BACKBONES[0])):
        text = text.replace(json.dumps(f'{name} = "{old}"')[1:-1], json.dumps(f'{name} = "{new}"')[1:-1])
    assert study.as_posix() in text
    target.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def looked(tmp_path_factory, program):
    """What each notebook showed after Run All, by its name and backbone; and the folder of the outputs."""
    scratch, seen = tmp_path_factory.mktemp("lab"), {}
    root = scratch / "files"
    (root / "notebooks").mkdir(parents=True)
    (root / "tiny.toml").write_text(TINY.replace("folds = 3", "folds = 3\nepochs = 6"))  # a while, to see the bar
    with lab.served(root, scratch) as server, playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for path, backbone in RUNS:
            write_copy(path, root / "notebooks" / path.name, root / "tiny.toml", backbone)
            page = chromium.new_page(viewport={"width": 1400, "height": 1000})
            seen[path.stem, backbone] = look(page, server, f"notebooks/{path.name}")
            page.close()
            server.stop_kernels()
        chromium.close()
    yield seen, root / "outputs" / "tiny"
    shutil.rmtree(scratch, ignore_errors=True)


def look(page, server, notebook):
    """The state after Run All in both themes and at both widths, and the values its progress bars had."""
    panel, shown = lab.open_notebook(page, server, notebook), {}
    panel.evaluate(lab.WATCH_BARS)
    lab.run_all(page)
    lab.finished(page, panel, seconds=900)
    for theme in THEMES:
        lab.choose_theme(page, theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1000})
            page.wait_for_timeout(300)
            shown[theme, width] = lab.state(panel)
        page.set_viewport_size({"width": WIDTHS[0], "height": 1000})
    return shown, page.evaluate("window.bars")


def of_all(looked, key):
    """What the states say of `key`, by notebook, theme and width, where they say something."""
    found = {(*name, *how): state[key] for name, (shown, _) in looked[0].items() for how, state in shown.items()}
    return {where: value for where, value in found.items() if value}


def test_every_cell_runs_and_nothing_is_printed_to_stderr(looked):
    assert set(looked[0]) == {(path.stem, backbone) for path, backbone in RUNS}
    for prompts in of_all(looked, "prompts").values():
        assert all(prompt in ("", f"[{n}]:") for n, prompt in enumerate(prompts, 1)) and prompts[-1], prompts
    assert not of_all(looked, "errors")
    assert not of_all(looked, "stderr")


def test_figures_are_sharp_and_opaque(looked):
    images = of_all(looked, "images")
    assert len(images) == len(RUNS) * len(THEMES) * len(WIDTHS)  # each notebook has figures
    assert all(0 < 1.5 * shown <= natural for of in images.values() for natural, shown in of)
    for file in [*looked[1].glob("figures/*.png"), *looked[1].glob("galleries/*.png")]:
        assert Image.open(file).convert("RGBA").getextrema()[3] == (255, 255), file  # dark type on a dark page


def test_nothing_scrolls_sideways(looked):
    assert not of_all(looked, "sideways")


def test_numbers_in_tables_stand_right(looked):
    numbers = of_all(looked, "numbers")
    assert len(numbers) > len(RUNS) and all(set(of) == {"right"} for of in numbers.values())


def test_text_is_legible_in_both_themes(looked):
    assert not of_all(looked, "faint")


def test_training_shows_a_bar_that_grows_and_goes(looked):
    for (name, _), (_, bars) in looked[0].items():
        assert bool(bars) == (name[:3] in ("02_", "02b", "07_")), name  # those that train
    assert not of_all(looked, "bars")
    bars = looked[0]["02_train_backbone", "baseline_cnn"][1]
    assert len(set(bars)) > 3 and min(bars) < 0.5 < max(bars) <= 1
