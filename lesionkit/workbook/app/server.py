"""The page in a browser, made with Gradio: takes an image, shows what `answers` finds, and keeps nothing."""

import os
import signal
import sys
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from lesionkit.data import IMAGES
from lesionkit.data.phantom_drawing import draw_lesion, paint
from lesionkit.data.phantom_photographs import ARCHIVES, photograph
from lesionkit.data.records import CLASSES
from lesionkit.workbook.app import page
from lesionkit.workbook.app.answers import MEGABYTES, MEGAPIXELS, Models, Refused

LOCAL = ("127.0.0.1", "localhost", "::1")
HOLD = 60, 300  # seconds: how often what is left of uploads is looked for, and how old it may be
NEEDED = "the page needs Gradio 6: pip install 'lesionkit[app]' (in a copy of the repository: pip install -e '.[app]')"


def serve(run: Path, host: str = LOCAL[0], port: int = 0) -> None:
    """Serve the page for the models of `run`, or of an export, until it is interrupted. `port` 0: the first free one from 7860.

    Raises ImportError without Gradio, what `Models.open` raises, and OSError where the port is taken.
    """
    _require_gradio()
    models = Models.open(run)
    matplotlib.use("agg")  # figures are drawn in threads
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="lesionkit-app-") as uploads, TemporaryDirectory(prefix="lesionkit-examples-") as drawn:
        _private(uploads, host)
        demo = build(models, draw_examples(Path(drawn) / "examples", models.study.phantom_size), Path(uploads))
        try:
            _, url, _ = _launched(demo, host, port)
            print(f"{url} (Ctrl-C ends it)", flush=True)
            if host not in LOCAL:
                print(f"lesionkit: open to all who can reach {host}, without a password", file=sys.stderr, flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
        finally:
            demo.close(verbose=False)


def build(models: Models, examples: Mapping[str, Path], uploads: Path) -> Any:
    """The page, a `gradio.Blocks`: the banner, where an image is dropped, examples by name, and the answer.

    uploads: the folder where Gradio puts them; what is there once the page is made stays.
    """
    import gradio as gr

    kept: set[Path] = set()

    def show(file: str | Path) -> str:
        try:
            return page.render(models.answer(Path(file)), models.reference)
        except Refused as reason:
            return page.refusal(str(reason))

    def drop(file: str) -> tuple[None, str]:
        try:
            return None, show(file)
        finally:
            _forget(Path(file).resolve(), uploads.resolve(), kept)

    def pick(event: gr.SelectData) -> str:
        return show(list(examples.values())[event.index])

    once = {"concurrency_id": "answer", "concurrency_limit": 1, "api_visibility": "private"}  # figures have one thread
    with gr.Blocks(title="lesionkit", analytics_enabled=False, delete_cache=HOLD) as demo:
        gr.HTML(page.banner(models.study), elem_classes="lk-sticky", apply_default_css=False)
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                given = gr.File(label="A dermoscopic image", file_types=list(IMAGES), height=170)
                gr.Markdown(f"{', '.join(IMAGES)}; at most {MEGABYTES} MB and {MEGAPIXELS} megapixels.")
                gr.Markdown("Examples, drawn and not photographed:")
                drawn = gr.Gallery([(str(file), name) for name, file in examples.items()], allow_preview=False, buttons=[],
                                   show_label=False, container=False, elem_classes="lk-examples")  # fmt: skip
            with gr.Column(scale=3, min_width=320):
                answer = gr.HTML(page.EMPTY, apply_default_css=False)
        given.upload(drop, given, [given, answer], **once)
        drawn.select(pick, None, answer, **once)
    kept.update(file.resolve() for file in uploads.rglob("*"))  # Gradio's copies of the examples
    return demo


def _forget(file: Path, uploads: Path, kept: Collection[Path]) -> None:
    """Remove an upload. The page names what it has uploaded, but whoever asks without it may name anything."""
    if uploads in file.parents and file not in kept:
        file.unlink(missing_ok=True)
        with suppress(OSError):  # the same image from elsewhere is still there
            file.parent.rmdir()  # its name is a hash of the image


def draw_examples(folder: Path, size: int) -> dict[str, Path]:
    """A phantom of each class, `size` px wide, as `folder/<class>.png`."""
    folder.mkdir(parents=True)
    files = {dx: folder / f"{dx}.png" for dx in CLASSES}
    for seed, (dx, file) in enumerate(files.items()):
        rng = np.random.default_rng(seed)
        rgb, lesion = paint(draw_lesion(dx, rng), ARCHIVES["HAM"].scale, size, rng)
        Image.fromarray(photograph(rgb, lesion, ARCHIVES["HAM"], size, rng, rng)[0]).save(file)
    return files


def _require_gradio() -> None:
    """Raises ImportError where there is no Gradio, or an old one."""
    try:
        version = metadata.version("gradio")
    except metadata.PackageNotFoundError:
        raise ImportError(NEEDED) from None
    if int(version.split(".")[0]) < 6:
        raise ImportError(f"Gradio {version} is too old: {NEEDED}")


def _private(temporary: str, host: str) -> None:
    """What Gradio reads as it is imported: where uploads lie until they are answered, and that it reports nothing."""
    os.environ |= {"GRADIO_TEMP_DIR": temporary, "GRADIO_ANALYTICS_ENABLED": "False"}
    for name in ("no_proxy", "NO_PROXY"):  # it asks itself whether it is there
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), host, *LOCAL)))


def _launched(demo: Any, host: str, port: int) -> tuple[Any, str, str]:
    """No link to the world, no history, no monitoring, no font from elsewhere. Raises OSError where the port is taken."""
    import gradio as gr

    look = {"css": page.CSS, "theme": gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])}
    try:
        return demo.launch(
            server_name=host, server_port=port or None, max_file_size=MEGABYTES * 2**20, prevent_thread_lock=True, quiet=True,
            share=False, run_history=False, enable_monitoring=False, ssr_mode=False, pwa=False, mcp_server=False,
            footer_links=["settings"], **look,
        )  # fmt: skip
    except OSError as error:
        raise OSError(f"port {port} of {host} cannot be had: give another --port, or 0 for the first free one") from error
