"""A notebook shows the very file that was saved, once and at its size; elsewhere nothing is shown or closed."""

import base64
import json

from matplotlib import pyplot
from workbook import books

from lesionkit.workbook import execution, showing

DRAW = """import matplotlib.pyplot as plt
from pathlib import Path
from lesionkit.workbook import showing
figure, ax = plt.subplots(figsize=(5, 3))
figure.savefig("saved.png", dpi=200)
showing.show(figure, Path("saved.png"));
print(plt.get_fignums())"""


def test_the_saved_file_is_shown_once_at_its_size(tmp_path):
    source = books.write_notebook(tmp_path / "notebooks", "03_ensemble", [DRAW])
    book = json.loads(source.read_text())
    del book["cells"][2]  # no run is opened
    source.write_text(json.dumps(book))
    execution.execute(source, tmp_path / "out" / "03_ensemble.ipynb", {"study": "mine"})
    outputs = json.loads((tmp_path / "out" / "03_ensemble.ipynb").read_text())["cells"][-1]["outputs"]
    (shown,) = [output for output in outputs if "image/png" in output.get("data", {})]
    assert base64.b64decode(shown["data"]["image/png"]) == (source.parent / "saved.png").read_bytes()
    assert shown["metadata"]["image/png"]["width"] == 480  # 5 in
    assert "".join(outputs[-1]["text"]) == "[]\n"


def test_outside_a_notebook_nothing_happens(tmp_path):
    figure = pyplot.figure()
    showing.show(figure, tmp_path / "none.png")
    assert figure.number in pyplot.get_fignums()
    pyplot.close(figure)
