"""One notebook executed headless, by the Python that runs now, with its progress in the terminal."""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# When it is loaded, jsonschema compiles the grammar of IRIs with this package, if it is there: three seconds, for a format
# that no notebook has. A module that is None counts as missing.
spared = sys.modules.setdefault("rfc3987_syntax", None) is None

import papermill  # noqa: E402
from ipykernel.kernelspec import get_kernel_dict  # noqa: E402
from jupyter_client.kernelspec import KernelSpec  # noqa: E402
from jupyter_client.manager import AsyncKernelManager  # noqa: E402
from nbclient.exceptions import DeadKernelError  # noqa: E402

if spared:
    del sys.modules["rfc3987_syntax"]


class NotebookFailed(RuntimeError):
    """A notebook that stopped with an error. The message says which, in which cell, and where its copy is."""


class ThisPython(AsyncKernelManager):
    """Starts the kernel with this very Python, whatever kernels are registered on the machine under its name."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(["--IPKernelApp.log_level=50"]))  # the errors of cells come by message


def execute(source: Path, target: Path, parameters: Mapping[str, Any]) -> None:
    """Run `source` in its own folder and leave the executed copy at `target`.

    Raises NotebookFailed; the failed copy is then kept beside it as *.failed.ipynb, and `target` is as it was.
    """
    logging.getLogger("papermill").setLevel(logging.ERROR)  # its guesses at the types of parameters
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, failed = target.with_name(f".partial.{target.name}"), target.with_suffix(".failed.ipynb")
    kept = f"its copy, as far as it got: {failed}"
    failed.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(source, partial, dict(parameters), kernel_name="python3", progress_bar=False,
                                   cwd=source.parent, kernel_manager_class=ThisPython)  # fmt: skip
        _name_no_folders(partial, source, target)
        os.replace(partial, target)
    except papermill.PapermillExecutionError as error:
        os.replace(partial, failed)
        raise NotebookFailed(f"cell In [{error.exec_count}] raised {error.ename}: {error.evalue}\n{kept}") from error
    except DeadKernelError as error:
        os.replace(partial, failed)
        raise NotebookFailed(
            f"its kernel died, most often for want of memory: try a smaller batch_size\n{kept}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _name_no_folders(copy: Path, source: Path, target: Path) -> None:
    """papermill notes where files lie on this machine; a copy that is passed on need not say that."""
    book = json.loads(copy.read_text(encoding="utf-8"))
    book["metadata"]["papermill"] |= {"input_path": source.name, "output_path": target.name}
    copy.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def watched(label: str, progress: Path) -> Iterator[None]:
    """Meanwhile, show in the terminal what training leaves in the file `progress`, or how long it has taken.

    A line that is rewritten in a terminal; a line an epoch elsewhere.
    """
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(label, progress, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch(label: str, progress: Path, done: threading.Event) -> None:
    started, terminal, epoch = time.time(), sys.stderr.isatty(), 1
    while not done.wait(0.5):
        state = _state(progress, started)
        if terminal:
            line = _line(state) if state else f"{time.time() - started:.0f} s"
            print(f"\r{label}: {line}\033[K", end="", file=sys.stderr, flush=True)
        elif state and state["epoch"] > epoch:
            epoch = state["epoch"]
            print(f"{label}: {_line(state)}", file=sys.stderr, flush=True)
    if terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _state(progress: Path, started: float) -> dict[str, Any] | None:
    """What training says of itself; None before it has begun, or while the file is being written."""
    try:
        return json.loads(progress.read_text()) if progress.stat().st_mtime > started else None
    except (OSError, ValueError):
        return None


def _line(state: Mapping[str, Any]) -> str:
    minutes, seconds = divmod(int(state["seconds_left"]), 60)
    return (f"epoch {state['epoch']} of {state['epochs']}, {state['images_per_second']:.0f} images/s, "
            f"{minutes}:{seconds:02d} left")  # fmt: skip
