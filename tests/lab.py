"""JupyterLab as a person uses it: a server of its own, and a notebook in a real browser."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUIET = {"fetchNews": "false", "checkForUpdates": False}  # or a question covers a corner
SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"
STATE = """panel => {
    const of = (selector) => [...panel.querySelectorAll(selector)];
    const kind = (name) => of(`.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.${name}"]`);
    const number = (cell) => /^([-+]?[\\d.,]+( \\[.*\\])?|NA)$/.test(cell.textContent);
    const columns = (body) => [...body.rows[0]?.cells ?? []].map((_, at) => [...body.rows].map(row => row.cells[at]));
    const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
        .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return /, 0\\)$/.test(colour) ? behind(element.parentElement) : colour;
    };
    const contrast = (element) => {
        const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    return {
        prompts: of(".jp-CodeCell").map(  // code that is folded away has no prompt but its output's
            cell => [...cell.querySelectorAll(".jp-InputPrompt, .jp-OutputPrompt")].map(p => p.textContent).find(t => t) ?? ""),
        idle: panel.querySelector(".jp-Notebook-ExecutionIndicator")?.dataset.status === "idle",
        errors: kind("error").map(output => output.textContent),
        stderr: kind("stderr").map(output => output.textContent),
        bars: of("progress").map(bar => bar.value),
        images: of(".jp-OutputArea-output img").map(image => [image.naturalWidth, image.clientWidth]),
        sideways: of(".jp-OutputArea-output, .jp-MarkdownOutput, .jp-WindowedPanel-outer")
            .filter(box => box.scrollWidth > box.clientWidth + 1)
            .map(box => `${box.scrollWidth} px in ${box.clientWidth}: ${box.textContent.slice(0, 80)}`),
        numbers: of(".jp-RenderedHTML tbody").flatMap(body => columns(body).filter(column => column.every(number)))
            .flat().map(cell => getComputedStyle(cell).textAlign),
        faint: of(".jp-OutputArea-output :is(td, th, p, li, code, pre), .jp-MarkdownOutput :is(p, li, code)")
            .filter(text => contrast(text) < 4.5).map(text => text.textContent),
    };
}"""  # contrast and 4.5: WCAG 2.2, success criterion 1.4.3
WATCH_BARS = """panel => {
    window.bars = [];
    const look = () => panel.querySelectorAll(".jp-OutputArea-output progress").forEach(
        bar => bar.clientWidth && window.bars.push(bar.value));
    new MutationObserver(look).observe(panel, {childList: true, subtree: true});
}"""


@dataclass
class Lab:
    """A JupyterLab server whose files are `root`."""

    address: str
    token: str

    def page_of(self, notebook: str) -> str:
        return f"{self.address}/lab/tree/{notebook}?reset&token={self.token}"

    def stop_kernels(self) -> None:
        for kernel in json.loads(self._ask("GET", "/api/kernels")):
            self._ask("DELETE", f"/api/kernels/{kernel['id']}")

    def _ask(self, method: str, path: str) -> bytes:
        head = {"Authorization": f"token {self.token}"}
        with urllib.request.urlopen(urllib.request.Request(self.address + path, method=method, headers=head)) as answer:
            return answer.read()


@contextmanager
def served(root: Path, scratch: Path) -> Iterator[Lab]:
    """JupyterLab on the files of `root`, with settings in `scratch` and none of the person who runs it."""
    settings = scratch / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    folders = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
               "JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_DATA_DIR": "share"}  # fmt: skip
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"]  # fmt: skip
    env = os.environ | {name: str(scratch / folder) for name, folder in folders.items()}
    with (scratch / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=root, env=env, stdout=log, stderr=log)
        try:
            yield Lab(_address(server, scratch), token)
        finally:
            server.terminate()
            server.wait(30)


def _address(server: subprocess.Popen, scratch: Path, patience: float = 120) -> str:
    """Where the server says it listens."""
    until = time.monotonic() + patience
    while time.monotonic() < until and server.poll() is None:
        for file in (scratch / "runtime").glob("jpserver-*.json"):
            try:
                return json.loads(file.read_text())["url"].rstrip("/")
            except ValueError:  # being written
                pass
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{(scratch / 'server.log').read_text()}")


def open_notebook(page: Any, lab: Lab, notebook: str) -> Any:
    """Open it as a link would, and wait until its kernel is ready; returns its panel."""
    page.goto(lab.page_of(notebook))
    panel = page.locator(SHOWN)
    panel.wait_for(timeout=120_000)
    page.get_by_text("| Idle", exact=False).wait_for(timeout=120_000)  # the bar at the bottom: "Python 3 (ipykernel) | Idle"
    assert not page.get_by_text("Select Kernel").count(), "the kernel of the notebook was not found"
    return panel


def run_all(page: Any) -> None:
    """Run → Run All Cells."""
    for item in ("Run", "Run All Cells"):
        page.get_by_role("menuitem", name=item, exact=True).click()


def choose_theme(page: Any, name: str) -> None:
    """Settings → Theme → name, unless it is that already."""
    chosen = page.locator(f"body[data-jp-theme-name='{name}']")
    if not chosen.count():
        page.get_by_role("menuitem", name="Settings", exact=True).click()
        page.locator(".lm-Menu-item", has_text="Theme").first.click()
        page.get_by_role("menuitem", name=name, exact=True).click()
        chosen.wait_for(state="attached")


def state(panel: Any) -> dict[str, Any]:
    """What the open notebook shows: prompts, errors, images as (pixels, width shown), alignment of numbers, faint text, …"""
    return panel.evaluate(STATE)


def finished(page: Any, panel: Any, seconds: float) -> dict[str, Any]:
    """The state once every cell has run, or one has failed. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        now = state(panel)
        waiting = any("*" in prompt for prompt in now["prompts"])
        if now["idle"] and not waiting and any(prompt.strip("[ ]:").isdigit() for prompt in now["prompts"]):
            page.wait_for_timeout(500)  # for what came last to be drawn
            return state(panel)
        page.wait_for_timeout(300)
    raise TimeoutError(f"not done after {seconds:.0f} s: {now['prompts']}")
