"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images in the official layouts (`LESIONKIT_DATA`, or ../shared/data)."""
    folder = Path(os.environ.get("LESIONKIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "isic84").is_dir():
        pytest.skip(f"no real images at {folder}: set LESIONKIT_DATA to test on them")
    return folder


@pytest.fixture(scope="session")
def program():
    """The path of a Chromium, Chrome or Edge of this machine, as the report's PDF finds it."""
    from lesionkit.workbook.page import pdf

    try:
        return pdf.browser()
    except pdf.NoBrowser:
        pytest.skip("no browser on this machine: install Chromium, Chrome or Edge")
