"""One notebook executed headless, by the Python that runs now."""

import json
import logging
import os
import sys
from collections.abc import Mapping
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

STARTS = 3  # of a kernel
PATIENCE = 180  # seconds for it to answer, beside other jobs


class NotebookFailed(RuntimeError):
    """A notebook that stopped with an error. The message says which, in which cell, and where its copy is."""


class ThisPython(AsyncKernelManager):
    """Starts the kernel with this very Python, whatever kernels are registered on the machine under its name."""

    threads = 0  # of the CPU that all in the kernel computes with; 0: as many as the libraries take

    @property
    def kernel_spec(self) -> KernelSpec:
        env = {"OMP_NUM_THREADS": str(self.threads)} if self.threads else {}
        return KernelSpec(**get_kernel_dict(["--IPKernelApp.log_level=50"]), env=env)  # the errors of cells come by message


def execute(source: Path, target: Path, parameters: Mapping[str, Any], threads: int = 0) -> None:
    """Run `source` in its own folder, with `threads` of the CPU (0: no matter), and leave the executed copy at `target`.

    Raises NotebookFailed; the failed copy is then kept beside it as *.failed.ipynb, and `target` is as it was.
    """
    logging.getLogger("papermill").setLevel(logging.ERROR)  # its guesses at the types of parameters
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, failed = target.with_name(f".partial.{target.name}"), target.with_suffix(".failed.ipynb")
    kept = f"its copy, as far as it got: {failed}"
    failed.unlink(missing_ok=True)
    try:
        _run(source, partial, parameters, threads)
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
    except RuntimeError as error:
        raise NotebookFailed(f"its kernel did not start: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _run(source: Path, copy: Path, parameters: Mapping[str, Any], threads: int) -> None:
    kernel = type(ThisPython.__name__, (ThisPython,), {"threads": threads})
    for left in reversed(range(STARTS)):
        try:
            papermill.execute_notebook(source, copy, dict(parameters), kernel_name="python3", progress_bar=False,
                                       cwd=source.parent, kernel_manager_class=kernel, start_timeout=PATIENCE)  # fmt: skip
            return
        except DeadKernelError:
            raise
        except RuntimeError:  # before the first cell: another kernel took the ports that were free a moment ago
            if not left:
                raise


def _name_no_folders(copy: Path, source: Path, target: Path) -> None:
    """papermill notes where files lie on this machine; a copy that is passed on need not say that."""
    book = json.loads(copy.read_text(encoding="utf-8"))
    book["metadata"]["papermill"] |= {"input_path": source.name, "output_path": target.name}
    copy.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
