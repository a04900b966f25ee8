"""A page as PDF, printed by a browser of this machine. No network is used."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lesionkit.writing import write_atomically

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
OPTIONS = ("--headless", "--disable-gpu", "--disable-extensions", "--disable-background-networking", "--no-first-run",
           "--no-pdf-header-footer", "--generate-pdf-document-outline")  # fmt: skip
PATIENCE = 300  # seconds


class NoBrowser(RuntimeError):
    """No browser that prints was found, or it did not print. The message says what to do."""


def browser() -> str:
    """The path of a Chromium, Chrome or Edge on this machine. Raises NoBrowser."""
    found = [*filter(None, map(shutil.which, NAMES)), *(place for place in PLACES if Path(place).exists())]
    if not found:
        raise NoBrowser("no browser to make a PDF with: install Chromium, Chrome or Edge; or open the page and print it there")
    return found[0]


def write(page: Path, pdf: Path) -> Path:
    """Print an HTML file to `pdf`, A4, with bookmarks; returns it. Raises NoBrowser."""
    write_atomically(pdf, lambda path: _print(browser(), page, path))
    return pdf


def _print(program: str, page: Path, pdf: Path) -> None:
    root = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []  # Chromium starts as root only so
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        line = [program, *OPTIONS, *root, f"--user-data-dir={profile}", f"--print-to-pdf={pdf}", page.resolve().as_uri()]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoBrowser(f"{program} did not print: {error}; open {page} and print it there") from error
    if done.returncode or not pdf.exists():  # one that crashed may have written half of it
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise NoBrowser(f"{program} did not print: {said}; open {page} and print it there")
