"""What the code is, as a hash: of meaning, not of layout, so that a changed comment or docstring stales nothing."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).parent


def code_hash(files: Iterable[Path]) -> str:
    """A short hash of the syntax trees of Python files, without docstrings, in any order of the files."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(set(files)):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and _is_text(body[0].value):
                body[0] = ast.Pass()
        digest.update(f"{file.name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def modules_used(source: str) -> set[Path]:
    """The files of this package that `source` imports, and those which they import, and so on."""
    found: set[Path] = set()
    waiting = _imported(source)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting |= _imported(file.read_text())
    return found


def _imported(source: str) -> set[Path]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = {_file(name) for name in names if name.split(".")[0] == PACKAGE.name}
    return files - {None}


def _file(name: str) -> Path | None:
    stem = PACKAGE.joinpath(*name.split(".")[1:])
    for file in (stem.with_suffix(".py"), stem / "__init__.py"):
        if file.is_file():
            return file
    return None  # a function or class of a module that is named too
