import pytest

from lesionkit import sources

CODE = '"""What it is."""\nimport os\n\ndef f(x):\n    """Twice."""\n    return 2 * x\n'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same name: study <- data.readers <- plots; learning beside them."""
    root = tmp_path / "lesionkit"
    files = {
        "__init__.py": "", "study.py": "import tomllib\n", "data/__init__.py": "",
        "data/readers.py": "from lesionkit.study import Study\n", "plots.py": "import lesionkit.data.readers as r\nimport plots.other\n",
        "learning.py": "def late():\n    from lesionkit import plots\n",
    }  # fmt: skip
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(sources, "PACKAGE", root)
    return root


def used(package, program):
    return {file.relative_to(package).as_posix() for file in sources.modules_used(program)}


def hash_of(tmp_path, text):
    (tmp_path / "code.py").write_text(text)
    return sources.code_hash([tmp_path / "code.py"])


@pytest.mark.parametrize("same", [
    CODE.replace("What it is.", "What it was, at length."), CODE.replace("Twice.", "Two times."), CODE + "\n# a comment\n",
    CODE.replace("2 * x", "(2\n            * x)"),
])  # fmt: skip
def test_words_and_layout_are_not_code(tmp_path, same):
    assert hash_of(tmp_path, same) == hash_of(tmp_path, CODE)


@pytest.mark.parametrize("other", [CODE.replace("2 * x", "3 * x"), CODE.replace("import os", "import sys"), CODE + "f(1)\n",
                                   CODE.replace("return 2 * x", "return '2 * x'")])  # fmt: skip
def test_meaning_is_code(tmp_path, other):
    assert hash_of(tmp_path, other) != hash_of(tmp_path, CODE)


def test_a_hash_knows_which_file_is_which_but_no_order(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("x = 1")
    two.write_text("x = 2")
    before = sources.code_hash([one, two])
    assert sources.code_hash([two, one, one]) == before
    one.write_text("x = 2")
    two.write_text("x = 1")
    assert sources.code_hash([one, two]) != before


def test_modules_are_followed_through_their_imports(package):
    assert used(package, "from lesionkit import plots") == {"__init__.py", "plots.py", "data/readers.py", "study.py"}
    assert used(package, "from lesionkit.data import readers") == {"data/__init__.py", "data/readers.py", "study.py"}
    assert used(package, "from lesionkit.study import Study") == {"study.py"}
    assert used(package, "import numpy as np\nimport lesionkit_other") == set()


def test_an_import_inside_a_function_counts(package):
    assert "plots.py" in used(package, "import lesionkit.learning")


def test_the_notebooks_of_predictions_do_not_depend_on_training():
    files = used(
        sources.PACKAGE, "from lesionkit.evidence import leaderboards\nfrom lesionkit.workbook.artifacts import Run"
    )
    assert "evidence/metrics.py" in files and "study.py" in files
    assert not any(file.startswith(("learning/", "explain/")) for file in files)


def test_the_command_imports_the_library_and_not_the_other_way_round():
    files = [file for file in sources.PACKAGE.rglob("*.py") if "cli" not in file.parts and file.name != "__main__.py"]
    command = sources.PACKAGE / "cli" / "shared.py"
    assert len(files) > 100 and not [file for file in files if command in sources.modules_used(file.read_text(encoding="utf-8"))]
