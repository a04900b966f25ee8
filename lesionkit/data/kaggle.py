"""Data sets from Kaggle, through its own package kagglehub, which resumes, checks and unpacks."""

import os
from pathlib import Path

from lesionkit.data.fetching import FetchError
from lesionkit.data.unpacking import free_bytes, readable

CACHE = "KAGGLEHUB_CACHE"
SIZE = 5_600_000_000  # bytes of HAM10000 as Kaggle packs it, each image twice


def check(folder: Path) -> None:
    """Raises FetchError without kagglehub, or without room on the disk (but in a notebook on Kaggle)."""
    try:
        import kagglehub  # noqa: F401
    except ImportError as error:
        raise FetchError(
            "Kaggle needs the package kagglehub: pip install 'lesionkit[kaggle]', or choose another --source"
        ) from error
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # there it is mounted
        return
    if (free := free_bytes(folder)) < 2 * SIZE:
        raise FetchError(
            f"{folder} has {readable(free)} free, {readable(2 * SIZE)} are needed; give a folder on another disk"
        )


def fetch(handle: str, folder: Path) -> Path:
    """Fetch Kaggle's data set `handle`, with the user's token if there is one, which public data sets do not need.

    Returns the folder where it lies: in `folder`/kaggle, or in a notebook on Kaggle or Colab the one that they mount.
    Raises FetchError where it does not come.
    """
    import kagglehub

    before = os.environ.get(CACHE)
    os.environ[CACHE] = str(folder / "kaggle")  # its argument output_dir would not go on after an interruption
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # its errors have no base of their own
        raise FetchError(
            f"Kaggle's {handle} did not come: {error}.\nThe same command goes on. If Kaggle wants to know who asks: "
            "make a token at https://www.kaggle.com/settings and set KAGGLE_API_TOKEN to it. By hand: download "
            f"https://www.kaggle.com/datasets/{handle} and unpack it in {folder}. Or choose another --source"
        ) from error
    finally:
        os.environ.pop(CACHE)
        os.environ |= {CACHE: before} if before is not None else {}
