"""How the steps of a study grow with the number of images, and which of them this machine could not do first.

    python tests/benchmarks/scale.py FOLDER --out scale.csv

FOLDER holds ISIC 2019 as the readers know it. Each step runs on 1,250 to 10,000 of its images, in a process of its own
each time: seconds, and the most memory beyond that of the imports (without file pages, which the system can take back).
Files are in the page cache. Training is timed over a few batches; its seconds are those of all epochs.

k is the exponent of the power law c n^k that fits best what was measured. What is said of more images is extrapolated:
seconds and memory as a + b n with no negative term, and the seconds of the search for near-duplicates, which compares
all pairs, with a term c n² too. The power law alone would take the fixed costs of a small n for slow growth.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from scipy.optimize import nnls

from lesionkit.writing import write_atomically

TARGETS = {25_331: "ISIC 2019", 401_059: "ISIC 2024", 1_000_000: "a million"}
LONGEST = 86_400  # seconds
KINDS = {"memory": "memory_limit", "seconds": "seconds_limit"}  # what a step needs, and the column of its limit
RULE = "A step breaks where it needs more memory than the machine has, or longer than 24 h"
IMAGE = 224 * 224 * 3  # bytes in the store


def measure(folder: Path, patience: float) -> pd.DataFrame:
    """step, images, seconds, memory (bytes), order, memory_order, and the limits of the machine: a row a step and number of images.

    A step that took longer than `patience` seconds is not measured on more images, but on two numbers of them at least.
    """
    from scale_steps import COUNTS, STEPS, Place, in_own_process, prepare  # beside this file

    rows = []
    with tempfile.TemporaryDirectory(prefix="lesionkit-scale-") as scratch:
        place = Place(folder.resolve(), Path(scratch))
        if (there := prepare(place)) < COUNTS[1]:
            sys.exit(f"{folder}: {there:,} images of ISIC 2019; {COUNTS[1]:,} at least are needed to see a growth")
        for name, step in STEPS.items():
            for n in [n for n in COUNTS if n <= there]:
                print(f"{name}: {n:,} images", file=sys.stderr)
                start = time.perf_counter()
                rows.append({"step": name, "images": n, "order": step.order, "memory_order": step.memory_order,
                             **in_own_process(name, n, place)})  # fmt: skip
                if time.perf_counter() - start > patience and n > COUNTS[0]:  # growth takes two at least
                    break
    return pd.DataFrame(rows).assign(
        memory_limit=psutil.virtual_memory().total, seconds_limit=LONGEST, cores=os.cpu_count(),
        date=datetime.now().isoformat(timespec="seconds"), kind="measured",
    )  # fmt: skip


def power_law(n: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """c and k of c n^k, by least squares of the logarithms of two values or more."""
    k, log_c = np.polyfit(np.log(n), np.log(values), 1)
    return float(np.exp(log_c)), float(k)


def polynomial(n: Sequence[float], values: Sequence[float], order: int) -> np.ndarray:
    """(order + 1,) coefficients of 1, n, n² …, none negative, by least squares of the relative errors.

    With fewer n than coefficients, those of the highest powers.
    """
    powers, unit = np.arange(order + 1), float(max(n))  # unit: so that no column is a million times another
    terms = (np.asarray(n, float)[:, None] / unit) ** powers
    terms[:, : max(order + 1 - len(n), 0)] = 0
    found = nnls(terms / np.asarray(values, float)[:, None], np.ones(len(n)))[0]
    return np.where(found > 1e-9 * found.max(), found, 0) / unit**powers  # less is rounding


def growth(rows: pd.DataFrame, kind: str) -> np.ndarray:
    """The polynomial of the seconds or of the memory of one step."""
    order = int(rows["order" if kind == "seconds" else "memory_order"].iloc[0])
    return polynomial(rows["images"].to_numpy(), rows[kind].to_numpy(), order)


def steps_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The measured rows of each step, in order of appearance."""
    return dict(list(table[table["kind"] == "measured"].groupby("step", sort=False)))


def with_extrapolated(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with a row a step and number of TARGETS, of kind "extrapolated".

    Columns more: k_seconds and k_memory; power_seconds and power_memory, what a power law would say; store (bytes).
    """
    parts = []
    for _, rows in steps_of(table).items():
        more = rows.iloc[[-1] * len(TARGETS)].assign(images=list(TARGETS), kind="extrapolated")
        both = pd.concat([rows, more], ignore_index=True)
        n = both["images"].to_numpy(float)
        for kind in KINDS:
            c, k = power_law(rows["images"].to_numpy(), rows[kind].to_numpy())
            far = np.polynomial.Polynomial(growth(rows, kind))(n)
            both[kind] = np.where(both["kind"] == "measured", both[kind], far)
            both[f"k_{kind}"], both[f"power_{kind}"] = k, c * n**k
        parts.append(both.assign(store=n * IMAGE))
    return pd.concat(parts, ignore_index=True)


def breaks(table: pd.DataFrame) -> pd.DataFrame:
    """step, kind, images: how many images bring a step to its limit, the fewest first; inf where no number does."""
    rows = []
    for name, own in steps_of(table).items():
        for kind, limit in KINDS.items():
            law = growth(own, kind)
            law[0] -= own[limit].iloc[0]
            roots = np.polynomial.Polynomial(law).trim().roots()
            found = roots.real[np.isreal(roots) & (roots.real > 0)]
            never = np.inf if law[0] < 0 else 0
            rows.append({"step": name, "kind": kind, "images": float(found.max()) if len(found) else never})
    return pd.DataFrame(rows).sort_values("images", ignore_index=True, kind="stable")


def verdict(table: pd.DataFrame) -> str:
    """Which step breaks first, of what, and from about how many images on; and which of the others is next."""
    found, machine = breaks(table), table.iloc[0]
    found = found[np.isfinite(found["images"])].drop_duplicates("step")  # of each step what comes first
    what = f"{machine['memory_limit'] / 1e9:.0f} GB of memory and {machine['cores']} cores"
    if found.empty:
        return f"On {what} nothing breaks."
    wants = found["kind"].map({"memory": "memory", "seconds": "time"})
    n = found["images"].map(lambda n: f"{float(f'{n:.2g}'):,.0f}")
    first, *others = zip(found["step"], "for want of " + wants + ", at about " + n + " images", strict=True)
    then = f" Next is {others[0][0]}, {others[0][1]}." if others else ""
    return f"On {what}, **{first[0]}** breaks first, {first[1]}.{then}"


def digits(value: float) -> str:
    """Two digits that count."""
    if value >= 1:
        return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    return f"{value:#.2g}" if value >= 1e-3 else "0.00"


def text(table: pd.DataFrame) -> str:
    """What was measured and what follows, as plain text at most 120 columns wide. `table`: of `with_extrapolated`."""
    form = "{:<20} {:>12} {:>7} {:>5} {:>8} {:>5}" + " {:>9} {:>7}" * len(TARGETS)
    above = ["", "", "", "", "", "", *(cell for n in TARGETS for cell in (f"{n:,}", ""))]
    lines = [form.format(*above), form.format("", "measured n", "last, s", "k", "MB", "k", *["h", "GB"] * len(TARGETS))]
    for name, rows in steps_of(table).items():
        last, far = rows.iloc[-1], table[(table["step"] == name) & (table["kind"] == "extrapolated")]
        ranged, used = f"{rows['images'].iloc[0]:,}–{last['images']:,}", [last["seconds"], last["memory"] / 1e6]
        ks = f"{last['k_seconds']:.2f}", f"{last['k_memory']:.2f}"
        cells = [name, ranged, digits(used[0]), ks[0], digits(used[1]), ks[1]]
        more = far[["seconds", "memory"]].to_numpy() / [3600, 1e9]
        lines.append(form.format(*cells, *map(digits, more.ravel())))
    stores = ", ".join(digits(n * IMAGE / 1e9) for n in TARGETS)
    lines.append(f"Hours and GB are extrapolated. Pixel store at 224 px, on disk: {stores} GB.")
    return "\n".join([*lines, f"{RULE}.", *verdict(table).replace("**", "").replace(" Next", "\nNext").splitlines()])


def summary(table: pd.DataFrame) -> str:
    """Markdown for a guide: hours and memory for the numbers of TARGETS, and what breaks first.

    Only the steps that need, for the largest number, a tenth of what the machine has.
    """
    sizes = " | ".join(f"{title}: {n:,}" for n, title in TARGETS.items())
    lines, small = [f"| step | {sizes} |", "|---|" + "--:|" * len(TARGETS)], []
    for name in steps_of(table):
        far = table[(table["step"] == name) & (table["kind"] == "extrapolated")]
        if all(far[kind].max() < far[limit].iloc[0] / 10 for kind, limit in KINDS.items()):
            small.append(name)
            continue
        cells = [f"{_cell(row, 'seconds', 3600, 'h')} · {_cell(row, 'memory', 1e9, 'GB')}" for _, row in far.iterrows()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("| pixel store on disk | " + " | ".join(f"{digits(n * IMAGE / 1e9)} GB" for n in TARGETS) + " |")
    n = table.loc[table["kind"] == "measured", "images"]
    lines += ["", f"Measured on {n.min():,} to {n.max():,} images; more is extrapolated, as a + b n, the seconds of all-pairs "
                  f"searches with a term n². Less than a tenth of the machine, also for the most images: {'; '.join(small)}. "
                  f"{RULE}. {verdict(table)}"]  # fmt: skip
    return "\n".join(lines)


def _cell(row: pd.Series, kind: str, unit: float, name: str) -> str:
    cell = f"{digits(row[kind] / unit)} {name}"
    return f"**{cell}**" if row[kind] > row[KINDS[kind]] else cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="a CSV of what was measured and extrapolated")
    parser.add_argument("--seconds", type=float, default=30, help="a step that took longer is not tried on more images")
    asked = parser.parse_args()
    table = with_extrapolated(measure(asked.folder, asked.seconds))
    if asked.out:
        write_atomically(asked.out, lambda path: table.to_csv(path, index=False))
    print(text(table))


if __name__ == "__main__":
    main()
