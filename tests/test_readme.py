"""The README says what is there: its links, its commands, and its numbers."""

import re
from pathlib import Path

import pandas as pd
from benchmarks import scale

from lesionkit import study
from lesionkit.bench import tables
from lesionkit.workbook import card

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_lead_to_files_that_exist():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("http")]
    assert links and not [link for link in links if not (ROOT / link).exists()]


def test_the_results_are_those_of_the_committed_tables():
    block = re.search(r"<!-- results:.*?-->\n(.*?)<!-- end of results -->", TEXT, re.S)[1].strip()
    expected = card.summary(pd.read_csv(ROOT / "outputs" / "isic84" / "tables" / "06_leaderboard.csv"))
    assert block == expected, f"put this between the marks in README.md:\n\n{expected}\n"


def test_the_findings_are_those_of_the_committed_tables():
    block = re.search(r"<!-- findings:.*?-->\n(.*?)<!-- end of findings -->", TEXT, re.S)[1].strip()
    expected = (ROOT / "outputs" / "isic84" / "tables" / "06_findings.md").read_text(encoding="utf-8").strip()
    assert block == expected, "put outputs/isic84/tables/06_findings.md between the marks in README.md"


def test_the_gain_is_that_of_the_committed_table():
    block = re.search(r"<!-- gain:.*?-->\n(.*?)<!-- end of gain -->", TEXT, re.S)[1].strip()
    expected = card.gain(pd.read_csv(ROOT / "outputs" / "gain84" / "tables" / "07_gains.csv"))
    assert block == expected, f"put this between the marks in README.md:\n\n{expected}\n"


def test_the_speed_is_that_of_the_committed_benchmark():
    block = re.search(r"<!-- speed:.*?-->\n(.*?)<!-- end of speed -->", TEXT, re.S)[1].strip()
    table = pd.read_csv(ROOT / "outputs" / "bench" / "cpu.csv", keep_default_na=False)
    expected = f"{tables.summary(table)}\n\n{tables.where(table)}"
    assert block == expected, f"put this between the marks in README.md:\n\n{expected}\n"


def test_what_larger_archives_would_cost_is_what_was_measured():
    text = (ROOT / "lesionkit" / "guides" / "larger-archives.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- scale:.*?-->\n(.*?)<!-- end of scale -->", text, re.S)[1].strip()
    expected = scale.summary(pd.read_csv(ROOT / "outputs" / "bench" / "scale.csv"))
    assert block == expected, f"put this between the marks in larger-archives.md:\n\n{expected}\n"


def test_make_targets_and_studies_that_it_names_exist():
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in re.findall(r"make (demo|test|lab)\b", TEXT))
    named = {name for cell in re.findall(r"^\| (`[^|]*`) \|", TEXT, re.M) for name in re.findall(r"`(\w+)`", cell)}
    assert set(study.available()) <= named


def test_it_can_be_read_in_one_go():
    assert len(TEXT.splitlines()) < 250
