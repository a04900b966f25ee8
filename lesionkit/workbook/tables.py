"""How tables are shown: rounded, intervals in brackets behind their value, and LaTeX with booktabs."""

import pandas as pd

MISSING = "NA"


def shown(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """`table` rounded; where it has columns low and high (or x_low and x_high), these go into the column before them.

    A value 0.652 with low 0.601 and high 0.699 becomes "0.652 [0.601, 0.699]"; one without an interval stays a plain
    number, one that is not defined is "NA".
    """
    result = table.round(digits)
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


def bracketed(value: float, low: float, high: float, digits: int = 3) -> str:
    """As "0.652 [0.601, 0.699]", "0.652" where there is no interval, "NA" where there is no value."""
    if pd.isna(value):
        return MISSING
    interval = "" if pd.isna(low) or pd.isna(high) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"


def latex(table: pd.DataFrame, digits: int = 3) -> str:
    """`table` as `shown`, in LaTeX for the package booktabs."""
    style = shown(table, digits).style.hide(axis="index").format(precision=digits, na_rep="--", escape="latex")
    style = style.format_index(lambda label: str(label).replace("_", r"\_"), axis="columns")
    return style.to_latex(hrules=True)
