"""How tables are shown: rounded, intervals in brackets behind their value, LaTeX with booktabs, and HTML in notebooks."""

import html
import re
import zlib

import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype, is_numeric_dtype
from pandas.io.formats.style import Styler

MISSING = "NA"
LONG, ROWS = 50, 20  # of a table with more rows than LONG a notebook shows the first ROWS; the file has all
CELLS = "text-align: right; vertical-align: top; padding: 0.3em 0.5em; font-variant-numeric: tabular-nums"


def shown(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """`table` rounded; where it has columns low and high (or x_low and x_high), these go into the column before them.

    A value 0.652 with low 0.601 and high 0.699 becomes "0.652 [0.601, 0.699]"; one without an interval stays a plain
    number, one that is not defined is "NA". Numbers that rounding would make 0 stay as they are (see `number`).
    """
    floats = table.select_dtypes("float")
    result = table.assign(**floats.round(digits).where((floats.abs() >= 0.5 * 10**-digits) | (floats == 0), floats))
    for low in [name for name in map(str, table) if name == "low" or name.endswith("_low")]:
        high = low[: -len("low")] + "high"
        at = table.columns.get_loc(low)
        if high not in table or at == 0:
            continue
        value = table.columns[at - 1]
        cells = zip(table[value], table[low], table[high], strict=True)
        result[value] = [bracketed(*cell, digits) for cell in cells]
        result = result.drop(columns=[low, high])
    return result


def number(value: float, digits: int = 3) -> str:
    """As "0.652" or "1,234.500"; what would be "0.000" and is not 0 as "4e-05"."""
    return f"{value:.0e}" if 0 < abs(value) < 0.5 * 10**-digits else f"{value:,.{digits}f}"


def bracketed(value: float, low: float, high: float, digits: int = 3) -> str:
    """As "0.652 [0.601, 0.699]", "0.652" where there is no interval, "NA" where there is no value."""
    if pd.isna(value):
        return MISSING
    interval = "" if pd.isna(low) or pd.isna(high) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"


def latex(table: pd.DataFrame, digits: int = 3, remark: str = "") -> str:
    """`table` as `shown`, in LaTeX for the package booktabs; above it a comment, which goes where the table goes."""
    rounded = shown(table, digits)
    style = rounded.style.hide(axis="index").format(precision=digits, na_rep="--", escape="latex")
    style = style.format(lambda value: number(value, digits), subset=list(rounded.select_dtypes("float")), na_rep="--")
    style = style.format_index(lambda label: str(label).replace("_", r"\_"), axis="columns")
    return (f"% {' '.join(remark.split())}.\n" if remark else "") + style.to_latex(hrules=True)


def as_html(table: pd.DataFrame) -> str:
    """`table` for a notebook: numbers right and under each other, text left; of a long table the first rows.

    Names may break at their underscores and no colour is set, so that it fits a narrow window and any theme; what is
    still too wide scrolls in a box of its own.
    """
    part = table if len(table) <= LONG else table.head(ROWS)
    repeated = [name for name in part.index.names if name is not None and name in part]  # as set_index leaves with drop=False
    part = part.reset_index(level=repeated, drop=True) if repeated else part
    part = part.reset_index(drop=part.index.names == [None] and is_integer_dtype(part.index))  # row numbers say nothing
    style = Styler(part, precision=3, thousands=",", na_rep=MISSING, uuid=f"{zlib.crc32(table.to_csv().encode()):x}",
                   cell_ids=False).hide(axis="index").format_index(_breakable, axis="columns")  # fmt: skip
    style.set_table_attributes('class="dataframe"').set_table_styles([{"selector": "th, td", "props": CELLS}])
    for name, column in part.items():
        numeric = is_numeric_dtype(column) and not is_bool_dtype(column)
        if not numeric:
            style.format(_breakable, subset=[name], na_rep="")
        elif is_float_dtype(column):
            counts = (column.dropna() % 1 == 0).all()  # floats only because one is missing
            style.format("{:,.0f}" if counts else number, na_rep=MISSING, subset=[name])
        if not numeric and not column.dropna().astype(str).str.match(rf"[-+\d]|{MISSING}\b").all():
            left = [{"selector": "", "props": "text-align: left"}]
            style.set_table_styles({name: left}, overwrite=False)
    cut = f"<p>The first {ROWS} of {len(table):,} rows.</p>" if len(table) > len(part) else ""
    return f'<div style="overflow-x: auto">{style.to_html()}{cut}</div>'


def _breakable(value: object) -> str:
    """Escaped for HTML; lines may break after underscores, and within brackets they may not."""
    text = html.escape(str(value)).replace("_", "_<wbr>")
    return re.sub(r"\[(\S+), (\S+)\]", r"[\1,&nbsp;\2]", text)
