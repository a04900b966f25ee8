"""CSV files as HTML tables: numbers to the right with three decimals, intervals in brackets behind their value."""

import csv
import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

ROWS = 2000  # of a table that are shown; the CSV holds all
PAPER = 40  # of these on paper
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf"  # not all that `float` takes: 1_2 is the name of something
INTERVAL = Markup("{} <small>[{}, {}]</small>")
WIDE = 12  # columns; more need a page in landscape on paper


class Table(NamedTuple):
    """A table as HTML, and what must be said about it."""

    html: Markup
    note: str  # what is left out; "" where nothing is
    wide: bool
    long: bool


def table_html(file: Path, metrics: tuple[str, ...] = ()) -> Table:
    """The first rows of a CSV file as an HTML table.

    metrics: of a leaderboard, those to show beside the models; none: all that the file holds.
    """
    with file.open(newline="", encoding="utf-8") as text:
        lines = csv.reader(text)
        head, rows, more = next(lines, []), list(islice(lines, ROWS)), sum(1 for _ in lines)
    chosen = [k for k, name in enumerate(head) if not metrics or name == "model" or name.startswith(metrics)]
    columns = _bracketed([head[k] for k in chosen], [_column([row[k] for row in rows]) for k in chosen])
    sides = [' class="number"' if numeric else "" for _, _, numeric in columns]
    titles = (
        Markup("<th{}>{}</th>").format(Markup(side), name.replace("_", " ")) for side, (name, _, _) in zip(sides, columns)
    )
    parts = ["<table><thead><tr>", *titles, "</tr></thead><tbody>"]
    for row in zip(*(cells for _, cells, _ in columns)):
        cells = (Markup("<td{}>{}</td>").format(Markup(side), cell) for side, cell in zip(sides, row))
        parts.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    note = f"{len(rows):,} of {len(rows) + more:,} rows; the CSV holds all" if more else "" if rows else "no rows"
    return Table(Markup("".join([*parts, "</tbody></table>"])), note, len(columns) > WIDE, len(rows) > PAPER)


def _bracketed(head: list[str], columns: list[tuple[list[str], bool]]) -> list[tuple[str, list[str], bool]]:
    """Name, cells and whether they are numbers; low and high (or x_low and x_high) go into the column before them."""
    found: list[tuple[str, list[str], bool]] = []
    for k, (name, (cells, numeric)) in enumerate(zip(head, columns, strict=True)):
        if k > 1 and name.endswith("high") and head[k - 1] == name[: -len("high")] + "low" and found[-2][2]:
            low = found.pop()[1]
            name, values, numeric = found.pop()
            cells = [INTERVAL.format(v, a, b) if a not in ("", "–") else v for v, a, b in zip(values, low, cells, strict=True)]
        found.append((name, cells, numeric))
    return found


def _column(cells: list[str]) -> tuple[list[str], bool]:
    """A column as it is shown, and whether it holds numbers."""
    filled = [cell for cell in cells if cell]
    if not all(re.fullmatch(NUMBER, cell, re.IGNORECASE | re.ASCII) for cell in filled):
        return cells, False
    gaps = len(filled) < len(cells)  # pandas writes the whole numbers of a column with gaps as 64.0
    if all(re.fullmatch(r"-?\d+(\.0)?" if gaps else r"-?\d+", cell) for cell in filled):
        return [cell.removesuffix(".0") or "–" for cell in cells] if filled else cells, bool(filled)
    shown = (f"{x:.1e}" if 0 < abs(x) < 0.0005 else f"{x:.3f}" for x in map(float, filled))
    return [next(shown) if cell else "–" for cell in cells], True
