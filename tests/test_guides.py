"""The README and the guides say what is there: their links, commands, settings, studies, code and file names."""

import ast
import dataclasses
import importlib
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer
from PIL import Image

from lesionkit import cli, study
from lesionkit.guides import GUIDES
from lesionkit.study import Study

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *GUIDES]
TEXTS = {file.name: file.read_text(encoding="utf-8") for file in DOCUMENTS}
FIELDS = {field.name for field in dataclasses.fields(Study)}
PACKAGE = "\n".join(file.read_text(encoding="utf-8") for kind in ("py", "toml") for file in (ROOT / "lesionkit").rglob(f"*.{kind}"))


def blocks(text, *languages):
    """The fenced blocks in one of the languages."""
    return [code for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if language in languages]


def inline(text):
    """What stands between backticks, outside fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def commands(text):
    """Every call of lesionkit, in a block or a line, as a list of words after the name."""
    lines = [line for code in blocks(text, "", "bash", "sh", "python") for line in code.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"^    (\S.*)$", text, re.M) + inline(text)
    calls = (re.match(r"!?(?:\S*/|python -m )?lesionkit (?![=.\d])(.+)$", line.strip()) for line in lines)
    return [shlex.split(call[1], comments=True) for call in calls if call]


def every(find):
    """A parameter for each finding in each document, named by both."""
    found = [(name, one) for name, text in TEXTS.items() for one in find(text)]
    return pytest.mark.parametrize("found", [one for _, one in found], ids=[f"{name}:{str(one)[:60]}" for name, one in found])


def test_there_is_a_guide_for_each_task_and_none_is_long():
    assert {"new-backbone.md", "slurm.md", "paper-table.md"} <= TEXTS.keys()
    assert all(len(guide.read_text(encoding="utf-8").splitlines()) < 80 for guide in GUIDES)
    assert all(len(re.findall("^# ", re.sub("^```.*?^```$", "", TEXTS[guide.name], flags=re.M | re.S), re.M)) == 1 for guide in GUIDES)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_to_files_that_exist(file):
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[file.name]) if not re.match("https?:|#", link)]
    assert not [link for link in links if not (file.parent / link.partition("#")[0]).exists()]


def parsed(words):
    """The arguments, by name, of the command that the words call; nothing is run. A bare name has none."""
    group = typer.main.get_command(cli.app)
    context = group.make_context("lesionkit", cli._spread(words))
    while hasattr(group, "resolve_command"):
        name, group, rest = group.resolve_command(context, [*getattr(context, "_protected_args", ()), *context.args])
        if not rest and not hasattr(group, "resolve_command"):
            return {}
        context = group.make_context(name, rest, parent=context)
    return context.params


def understood(words):
    try:
        given = parsed(words)
    except Exception as error:  # of click, or of the copy of it that typer brings
        pytest.fail(f"lesionkit {' '.join(words)}: {getattr(error, 'message', error)}")
    name = given.get("study", "")
    assert not name or name in study.available() or name.endswith(".toml")
    study.load(name if name in study.available() else "full", given.get("overrides", ()))


@every(commands)
def test_commands_are_understood_and_what_they_set_exists(found):
    understood(found)


@every(lambda text: [one for one in inline(text) if re.match(r"--set \S", one)])
def test_settings_beside_commands_exist(found):
    understood(["run", "full", *shlex.split(found)])


@every(lambda text: [one for one in inline(text) if re.match(r"[a-z_]+ = [\[\"\w.-]+$", one)])
def test_settings_in_words_exist_and_may_have_that_value(found):
    key, value = next(iter(tomllib.loads(found).items()))
    if key in FIELDS:
        study._checked(key, value)
    else:
        assert re.search(rf"^{key} = |[\"']{key}[\"']", PACKAGE, re.M), f"nothing in the package is called {key}"


@every(lambda text: blocks(text, "toml"))
def test_studies_that_are_shown_load(found, tmp_path):
    if {"base", "backbones"} & tomllib.loads(found).keys():
        (tmp_path / "mine.toml").write_text(found)
        study.load(str(tmp_path / "mine.toml"))


@every(lambda text: blocks(text, "python"))
def test_python_is_python_and_what_it_imports_from_here_exists(found):
    tree = ast.parse(re.sub(r"^[!%].*$", "pass", found, flags=re.M))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("lesionkit"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}") for alias in node.names)


@every(lambda text: blocks(text, "bash", "sh"))
def test_shell_scripts_are_such(found):
    done = subprocess.run(["bash", "-n"], input=found, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@every(lambda text: [one for one in inline(text) if re.match(r"(lesionkit|notebooks|tests|outputs/isic84|outputs/bench)/[\w./-]+$", one)])
def test_files_exist(found):
    assert (ROOT / found).exists()


@every(lambda text: [one for one in inline(text) if re.match(r"\d\d[a-d]?_[a-z_]+$", one)])
def test_tables_and_notebooks_exist(found):
    made = [file.stem for folder in ("tables", "figures") for file in (ROOT / "outputs" / "isic84" / folder).iterdir()]
    assert any(name.startswith(found) for name in [*made, *(file.stem for file in (ROOT / "notebooks").iterdir())])


@every(lambda text: re.findall(r"(?:lesionkit|\.)\[(\w+(?:,\w+)*)\]", text))
def test_extras_exist(found):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(found.split(",")) <= extras.keys()


@every(lambda text: re.findall("^make ([a-z]+)", "\n".join([*inline(text), *re.findall(r"^    (make .*)$", text, re.M)]), re.M))
def test_make_targets_exist(found):
    assert f"\n{found}:" in (ROOT / "Makefile").read_text()


def test_the_guide_to_own_data_is_gone_through_on_its_own_table(tmp_path, monkeypatch, capsys):
    """Its checks in their order: the first asks for columns, the second for labels, and with the guide's mapping the third is content."""
    text = TEXTS["own-data.md"]
    rows = re.findall(r"^    (\S.*;.*)$", text, re.M)
    (tmp_path / "table.csv").write_text("\n".join(rows), encoding="cp1252")
    for row in rows[1:]:
        place = tmp_path / "images" / row.split(";")[0].replace("\\", "/")
        place.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), "brown").save(place)
    given, clinic, said = tomllib.loads(blocks(text, "toml")[0]), tmp_path / "clinic.toml", []
    monkeypatch.chdir(tmp_path)
    for number, words in enumerate(call for call in commands(text) if call[:3] == ["data", "check", "images"]):
        code = typer.main.get_command(cli.app).main(words, standalone_mode=False) or 0
        out = capsys.readouterr().out
        written = tomllib.loads("title = " + out.split("\ntitle = ", 1)[1]) if code else {}
        said.append((code, written.get("columns"), written.get("labels")))
        settled = 'title = "{title}"\nnote = "{note}"\n[columns]\n'.format(**given)
        columns = "\n".join(f'{fact} = "{name}"' for fact, name in given["columns"].items())
        clinic.write_text(settled + columns if not number else blocks(text, "toml")[0], encoding="utf-8")
        assert number != 1 or (written["title"], written["note"]) == (given["title"], given["note"])
    open_ = {"image": "?", "label": "?"}, dict.fromkeys(("Melanom", "Nävus"), "?")
    assert said == [(1, open_[0], {}), (1, given["columns"], open_[1]), (0, None, None)]
