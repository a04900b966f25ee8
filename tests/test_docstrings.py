"""Every public module, class and function says what it is, in words that the page of the API shows as they stand."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "lesionkit").rglob("*.py"))
# To sources.code_hash a docstring where none was is code, and this file's code makes trained models stale: when it changes next.
WAITING = {"learning/training.py: train"}


def public(file):
    """The module and its public classes and functions, by name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    named = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_"}
    return {file.relative_to(ROOT / "lesionkit").as_posix(): tree} | {
        f"{file.relative_to(ROOT / 'lesionkit').as_posix()}: {name}": node for name, node in named.items()
    }


def test_every_public_module_class_and_function_has_a_docstring():
    everything = {name: node for file in FILES for name, node in public(file).items()}
    assert len(everything) > 500
    assert {name for name, node in everything.items() if not ast.get_docstring(node)} == WAITING


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_word_of_a_docstring_would_be_taken_for_html(file):
    nodes = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
             if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]  # fmt: skip
    texts = {getattr(node, "name", ""): re.sub("`[^`]*`", "", ast.get_docstring(node) or "") for node in nodes}
    assert not {name: found for name, text in texts.items() if (found := re.findall(r"</?[a-z]+[^>]*>", text))}, "set it in backticks"
