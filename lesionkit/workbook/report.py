"""report/index.html: every figure, table and text of a study on one page that is complete in itself and can be sent."""

import base64
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import mistune
from markupsafe import Markup
from PIL import Image

import lesionkit
from lesionkit.settings import public
from lesionkit.study import Study
from lesionkit.workbook import provenance
from lesionkit.workbook.caveats import caveat
from lesionkit.workbook.manifest import file_hash, read_manifest, update_manifest
from lesionkit.workbook.page import tables
from lesionkit.workbook.page.script import SCRIPT
from lesionkit.workbook.page.style import STYLE
from lesionkit.workbook.page.template import PAGE
from lesionkit.workbook.staleness import Step
from lesionkit.writing import write_atomically

LEADING = ("06_findings", "06_model_card", "06_leaderboard")  # files that the page begins with
BOARD = ("balanced_accuracy", "macro_f1", "macro_auc", "melanoma_sensitivity")  # of the leaderboard at its beginning
DPI = {"figures": 200, "galleries": 150}  # as Run.figure saves them
SCREEN = 120  # pixels of the page for an inch of a figure
FIGURES = {"format": "WEBP", "lossless": True, "quality": 20, "method": 1}  # four tenths of a PNG
GALLERIES = {"format": "JPEG", "quality": 70}  # which browsers put into a PDF as it is
_TEXT = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])


@dataclasses.dataclass(frozen=True)
class Item:
    """One figure, table or text: its HTML, and the files to save from the page or to find beside it, by name."""

    id: str
    name: str
    kind: str
    content: Any
    inside: Mapping[str, str] = dataclasses.field(default_factory=dict)
    beside: Mapping[str, str] = dataclasses.field(default_factory=dict)


def write(study: Study, folder: Path, steps: Sequence[Step], *, galleries: bool = False) -> Path:
    """Write report/index.html of the run at `folder`, and the executed notebooks as HTML beside it; returns the page.

    Galleries show skin, and stay out of it unless they are of phantoms. With `galleries` the page is another,
    report/with_galleries.html.
    """
    manifest, page = read_manifest(folder), folder / "report" / ("with_galleries.html" if galleries else "index.html")
    shown = ("figures", "tables", *(("galleries",) if galleries or study.synthetic else ()))
    sections = [_section(folder, step, manifest, shown) for step in steps]
    html = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE).render(
        study=study, sections=sections, warning=caveat(study, folder), **_summary(study, folder),
        made=_made(study, folder, manifest, steps),
        hidden={} if "galleries" in shown else {file.stem: f"../galleries/{file.name}" for file in _files(folder, manifest, "galleries")},
        settings={key: _setting(value) for key, value in public(dataclasses.asdict(study)).items() if key not in ("name", "title")},
        paper=tables.PAPER, style=Markup(STYLE), script=Markup(SCRIPT), script_hash=_base64(hashlib.sha256(SCRIPT.encode()).digest()),
    )  # fmt: skip
    write_atomically(page, lambda path: path.write_text(_linked(html), encoding="utf-8"))
    if not galleries:
        _record(study, folder, [page, *_notebook_pages(folder, manifest, steps)])
    return page


def _summary(study: Study, folder: Path) -> dict[str, Any]:
    """What the page begins with, as far as the run has got: what was asked, findings, leaderboard and model card."""
    findings, card, board = (folder / "tables" / f"{name}{end}" for name, end in zip(LEADING, (".md", ".md", ".csv"), strict=True))
    board = board if board.exists() else folder / "tables" / "03_leaderboard.csv"
    return {
        "asked": _asked(study),
        "findings": _markdown(findings) if findings.exists() else "",
        "card": {"content": _markdown(card), "file": _embedded(card, "text/markdown")} if card.exists() else None,
        "board": tables.table_html(board, BOARD).html if board.exists() else "",
    }


def _asked(study: Study) -> str:
    if study.given:
        return f"How good are the predictions of {len(study.backbones)} models, and of their ensemble, that were given?"
    images = "synthetic images" if study.synthetic else "dermoscopic images"
    return (f"How well do {len(study.backbones)} networks and their ensemble tell seven classes of {images} apart, inside the "
            "data set that they were trained on and outside it; and what do they look at?")  # fmt: skip


def _made(study: Study, folder: Path, manifest: Mapping[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    runs = [manifest["steps"][step.id] for step in steps if step.id in manifest["steps"]]
    return {
        "hours": provenance.hours(runs), "energy": provenance.used(runs), "data": provenance.data(study, folder, manifest),
        "environments": provenance.environments(manifest, [step.id for step in steps if step.id in manifest["steps"]]),
    }  # fmt: skip


def _section(folder: Path, step: Step, manifest: Mapping[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    title, question = _told(step)
    files = [file for kind in shown for file in _files(folder, manifest, kind, step)]
    files = sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))  # as they were written: the notebook's
    with ThreadPoolExecutor() as pool:  # Pillow works without the GIL
        items = list(pool.map(_item, [file for file in files if file.stem not in LEADING[:2]]))
    return {"step": step, "title": title, "question": question, "run": manifest["steps"].get(step.id, {}), "items": items,
            "ran": (folder / "notebooks" / f"{step.id}.ipynb").exists()}  # fmt: skip


def _files(folder: Path, manifest: Mapping[str, Any], kind: str, step: Step | None = None) -> list[Path]:
    """The files of a kind (figures, galleries, tables) that can be shown and are there, of one step or of all."""
    endings = (".csv", ".md") if kind == "tables" else (".png",)
    made = (path for path, entry in manifest["artifacts"].items() if step is None or step.made(entry))
    paths = (folder / path for path in made if path.startswith(f"{kind}/"))
    return [path for path in paths if path.suffix in endings and path.exists()]


def _item(file: Path) -> Item:
    others = {".png": (".png", ".pdf"), ".csv": (".tex",), ".md": ()}[file.suffix]
    found = [file.with_suffix(ending) for ending in others if file.with_suffix(ending).exists()]
    beside = {other.suffix[1:].upper(): f"../{file.parent.name}/{other.name}" for other in found}
    if file.suffix == ".png":
        return Item(f"figure-{file.stem}", file.stem, "picture", _picture(file), beside=beside)
    if file.suffix == ".md":
        return Item(file.stem, file.stem, "text", _markdown(file), {file.name: _embedded(file, "text/markdown")})
    return Item(file.stem, file.stem, "table", tables.table_html(file), {file.name: _embedded(file, "text/csv")}, beside)


def _picture(file: Path) -> dict[str, Any]:
    """A figure without loss, a gallery at a tenth of its size; and how large it is shown."""
    how, scale, buffer = FIGURES if file.parent.name == "figures" else GALLERIES, SCREEN / DPI[file.parent.name], io.BytesIO()
    with Image.open(file) as image:
        image.convert("RGB").save(buffer, **how)
        width, height = (round(side * scale) for side in image.size)
    return {"source": f"data:image/{how['format'].lower()};base64,{_base64(buffer.getvalue())}", "width": width, "height": height}


def _embedded(file: Path, kind: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{_base64(file.read_bytes())}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _markdown(file: Path) -> Markup:
    """Markdown as HTML, without the front matter of a model card; its headings stand below the page's."""
    text = re.sub(r"\A---\n.*?\n---\n", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return Markup(re.sub(r"(</?h)([1-4])\b", lambda found: f"{found[1]}{int(found[2]) + 2}", _TEXT(text)))


def _linked(html: str) -> str:
    """Names of tables and steps in texts lead to where they are shown."""
    ids = set(re.findall(r' id="([^"]+)"', html))

    def linked(code: re.Match) -> str:
        place = next((place for place in (code[1], f"step-{code[1]}") if place in ids), "")  # a table before a step of its name
        return f'<a href="#{place}">{code[0]}</a>' if place else code[0]

    return re.sub(r"<code>(\w+)</code>", linked, html)


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
    return re.sub(r'href="(\d\d[a-z]?_\w+)\.ipynb"', r'href="../index.html#step-\1"', body)


def _record(study: Study, folder: Path, pages: Iterable[Path]) -> None:
    made_by = {"notebook": "report", "study": study.fingerprint(), "lesionkit": lesionkit.__version__}
    entries = {page.relative_to(folder).as_posix(): {"hash": file_hash(page), **made_by} for page in pages}
    update_manifest(folder, "artifacts", entries)


def _told(step: Step) -> tuple[str, Markup]:
    """The notebook's first heading, without the number and with the backbone; and its question."""
    cells = json.loads(step.source.read_text(encoding="utf-8"))["cells"]
    text = "".join(cells[0]["source"]) if cells else ""
    heading = re.match(r"#\s+(?:\d+[a-z]?\s*[.:·–—-]?\s*)?(.+)", text)
    title = heading[1].strip() if heading else step.notebook[3:].replace("_", " ").capitalize()
    question = re.search(r"^\*\*Question\.\*\*\s+(.+)$", text, flags=re.MULTILINE)
    return f"{title}: {step.backbone}" if step.backbone else title, Markup(_TEXT(question[1]) if question else "")


def _setting(value: Any) -> str:
    """A setting as text."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return "; ".join(f"{key} {_setting(one)}" for key, one in value.items())
    return str(value)
