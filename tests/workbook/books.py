"""A study in miniature: notebooks that read and write as the real ones do, run in this process in no time."""

import json
import os
from pathlib import Path

import nbformat

PARAMETERS = 'study = "toy"\ndata = ""\nout = "../outputs"\noverrides = []'
OPEN = "from lesionkit.workbook.artifacts import Run\nrun = Run.open(study, {name!r}, data=data, out=out, overrides=overrides{suffix})"
CELLS = {
    "01_eda": [
        "import pandas as pd",
        'labels = pd.read_csv(run.data / "labels.csv")',
        'run.save_csv(labels[["image_id", "dx"]].assign(lesion_id=labels["image_id"], split="test"), "splits", "split.csv")',
        'run.table(labels.groupby("dx", as_index=False).size(), "counts")',
    ],
    "02_train_backbone": [
        "from lesionkit.data.records import CLASSES\nfrom lesionkit.evidence.predictions import PROBABILITIES",
        "table = run.split().rename(columns={'dx': 'y_true'}).assign(dataset='ham10000', model=backbone)",
        "for name, dx in zip(PROBABILITIES, CLASSES):\n    table[name] = (table['y_true'] == dx).astype('float32')",
        "run.save_predictions(table, backbone)",
    ],
    "03_ensemble": [
        "table = run.predictions()\nassert len(table)",
        'run.table(table.groupby("model", as_index=False).size().assign(share=1 / 3), "leaderboard")',
    ],
    "06_report": [
        'table = run.saved_table("03_ensemble", "03_leaderboard")',
        'run.text(f"# Card\\n\\n{len(table)} models, <b>none</b> for use", "card")',
    ],
}


def write_notebook(folder: Path, name: str, cells: list[str], title: str = "") -> Path:
    """A notebook with a title, the imports, a parameters cell, the run, and `cells`."""
    v4, template = nbformat.v4, name.startswith("02")
    parameters = PARAMETERS + ('\nbackbone = "baseline_cnn"' if template else "")
    opened = OPEN.format(name=name, suffix=", suffix=backbone" if template else "")
    book = v4.new_notebook(cells=[
        v4.new_markdown_cell(title or f"# {name[:2]} · About {name[3:]}"),
        v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *map(v4.new_code_cell, [opened, *cells]),
    ], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})  # fmt: skip
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.ipynb").write_text(json.dumps(book))
    return folder / f"{name}.ipynb"


def write_study(folder: Path, text: str = "") -> dict:
    """A toy study with its notebooks and images in `folder`; returns the arguments of run_study."""
    for name, cells in CELLS.items():
        write_notebook(folder / "notebooks", name, cells)
    (folder / "toy.toml").write_text('backbones = ["resnet50", "densenet121"]\nepochs = 4\n' + text)
    (folder / "data").mkdir()
    (folder / "data" / "labels.csv").write_text("image_id,dx,note\na,mel,\nb,nv,\nc,nv,\n")
    return {"study": str(folder / "toy.toml"), "data": str(folder / "data"), "out": str(folder / "outputs"),
            "notebooks": folder / "notebooks"}  # fmt: skip


def run_here(source: Path, target: Path, parameters: dict, threads: int = 0) -> None:
    """As execution.execute, but without a kernel: seconds less."""
    cells, names, before = json.loads(source.read_text())["cells"], {}, Path.cwd()
    os.chdir(source.parent)
    try:
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
                names |= parameters if "parameters" in cell["metadata"].get("tags", []) else {}
    finally:
        os.chdir(before)
    target.parent.mkdir(exist_ok=True)
    target.write_text(source.read_text())
