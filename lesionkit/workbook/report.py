"""report/index.html: every figure, table and text of a study on one page, with no need of a network or of scripts."""

import csv
import dataclasses
import json
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
import mistune
from markupsafe import Markup

import lesionkit
from lesionkit.study import Study
from lesionkit.workbook.artifacts import caveat, file_hash, read_manifest, update_manifest, write_atomically
from lesionkit.workbook.page import PAGE
from lesionkit.workbook.staleness import Step

ROWS = 60  # of a table that are shown; the CSV holds all
LIBRARIES = ("torch", "timm", "fastai", "scikit-learn", "numpy", "pandas", "matplotlib", "seaborn", "papermill")
_TEXT = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])


@dataclasses.dataclass(frozen=True)
class Item:
    """One figure, table or text: its id (the file's name), what kind it is, its HTML, and files to link, by name."""

    id: str
    kind: str
    content: str
    files: Mapping[str, str]
    note: str = ""


def write(study: Study, folder: Path, steps: Sequence[Step]) -> Path:
    """Write report/index.html of the run at `folder`, and the executed notebooks as HTML beside it; returns the page."""
    manifest, page = read_manifest(folder), folder / "report" / "index.html"
    pages = _notebook_pages(folder, manifest, steps)
    sections = [
        {"step": step, "title": _title(step), "items": _items(folder, step, manifest), "run": manifest["steps"].get(step.id, {}),
         "ran": (folder / "notebooks" / f"{step.id}.ipynb").exists()}
        for step in steps
    ]  # fmt: skip
    html = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE).render(
        study=study, sections=sections, warning=caveat(study), made=_how_made(),
        settings={key: _setting(value) for key, value in dataclasses.asdict(study).items() if key not in ("name", "title")},
    )  # fmt: skip
    write_atomically(page, lambda path: path.write_text(html, encoding="utf-8"))
    _record(study, folder, [page, *pages])
    return page


def _items(folder: Path, step: Step, manifest: Mapping[str, Any]) -> list[Item]:
    """What the step has made that can be shown, in the order in which it was written: the notebook's."""
    mine = [
        folder / path for path, entry in manifest["artifacts"].items() if step.made(entry) and (folder / path).exists()
    ]
    shown = {"figures": ".png", "galleries": ".png", "tables": ".csv"}
    files = [f for f in mine if f.suffix == shown.get(f.parent.name) or (f.parent.name, f.suffix) == ("tables", ".md")]
    return [_item(file, set(mine)) for file in sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))]


def _item(file: Path, made: set[Path]) -> Item:
    link = f"../{file.parent.name}/{file.name}"
    others = {".png": {"PDF": ".pdf"}, ".csv": {"LaTeX": ".tex"}}.get(file.suffix, {})
    files = {name: f"../{file.parent.name}/{file.stem}{ending}" for name, ending in others.items()
             if file.with_name(file.stem + ending) in made}  # fmt: skip
    if file.suffix == ".png":
        return Item(file.stem, "figure", link, {"PNG": link} | files)
    if file.suffix == ".md":
        return Item(file.stem, "text", Markup(_TEXT(file.read_text(encoding="utf-8"))), {"Markdown": link})
    content, note = table_html(file)
    return Item(file.stem, "table", content, {"CSV": link} | files, note)


def table_html(file: Path) -> tuple[Markup, str]:
    """The first rows of a CSV file as an HTML table, numbers to the right with three decimals; and what is left out."""
    with file.open(newline="", encoding="utf-8") as text:
        lines = csv.reader(text)
        head, rows, more = next(lines, []), list(islice(lines, ROWS)), sum(1 for _ in lines)
    columns = [_column([row[k] for row in rows]) for k in range(len(head))]
    sides = [' class="number"' if numeric else "" for _, numeric in columns]
    parts = ["<table><thead><tr>", *(Markup("<th{}>{}</th>").format(Markup(s), h.replace("_", " ")) for s, h in zip(sides, head)),
             "</tr></thead><tbody>"]  # fmt: skip
    for row in zip(*(cells for cells, _ in columns)):
        cells = (Markup("<td{}>{}</td>").format(Markup(side), cell) for side, cell in zip(sides, row))
        parts.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    note = f"{len(rows)} of {len(rows) + more:,} rows; the CSV holds all" if more else "" if rows else "no rows"
    return Markup("".join([*parts, "</tbody></table>"])), note


def _column(cells: list[str]) -> tuple[list[str], bool]:
    """A column as it is shown, and whether it holds numbers."""
    filled = [cell for cell in cells if cell]
    try:
        numbers = [float(cell) for cell in filled]
    except ValueError:
        return cells, False
    gaps = len(filled) < len(cells)  # pandas writes the whole numbers of a column with gaps as 64.0
    if all(re.fullmatch(r"-?\d+(\.0)?" if gaps else r"-?\d+", cell) for cell in filled):
        return [cell.removesuffix(".0") or "–" for cell in cells] if filled else cells, bool(filled)
    shown = (f"{x:.1e}" if 0 < abs(x) < 0.0005 else f"{x:.3f}" for x in numbers)
    return [next(shown) if cell else "–" for cell in cells], True


def _notebook_pages(folder: Path, manifest: Mapping[str, Any], steps: Iterable[Step]) -> list[Path]:
    """The executed notebooks as report/notebooks/*.html; those that have not changed since are left as they are."""
    pages = []
    for step in steps:
        source, page = folder / "notebooks" / f"{step.id}.ipynb", folder / "report" / "notebooks" / f"{step.id}.html"
        if source.exists():
            pages.append(page)
            if not page.exists() or page.stat().st_mtime_ns < source.stat().st_mtime_ns:
                write_atomically(page, lambda path: path.write_text(_notebook_html(source), encoding="utf-8"))
    return pages


def _notebook_html(notebook: Path) -> str:
    from nbconvert import HTMLExporter  # two seconds to load: only where a notebook has changed

    body, _ = HTMLExporter(template_name="lab").from_filename(str(notebook))
    body = re.sub(
        r"<script\b.*?</script>", "", body, flags=re.DOTALL
    )  # they fetch MathJax and the like from the network
    return re.sub(r'href="(\d\d[a-z]?_\w+)\.ipynb"', r'href="../index.html#\1"', body)


def _record(study: Study, folder: Path, pages: Iterable[Path]) -> None:
    made_by = {"notebook": "report", "study": study.fingerprint(), "lesionkit": lesionkit.__version__}
    entries = {page.relative_to(folder).as_posix(): {"hash": file_hash(page), **made_by} for page in pages}
    update_manifest(folder, "artifacts", entries)


def _title(step: Step) -> str:
    """The notebook's first heading, without the number; and the backbone."""
    cells = json.loads(step.source.read_text(encoding="utf-8"))["cells"]
    text = "".join(cells[0]["source"]) if cells else ""
    heading = re.match(r"#\s+(?:\d+[a-z]?\s*[.:·–—-]?\s*)?(.+)", text)
    title = heading[1].strip() if heading else step.notebook[3:].replace("_", " ").capitalize()
    return f"{title}: {step.backbone}" if step.backbone else title


def _setting(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _how_made() -> dict[str, str]:
    """Versions and machine, without names of people or folders."""
    made = {"lesionkit": lesionkit.__version__, "commit": _commit(), "Python": platform.python_version(),
            "system": f"{platform.system()} on {platform.machine()}"}  # fmt: skip
    for name in LIBRARIES:
        try:
            made[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {key: value for key, value in made.items() if value}


def _commit() -> str:
    """The commit of the code, and whether files differ from it; empty outside a repository."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if git("status", "--porcelain", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
