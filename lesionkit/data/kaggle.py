"""Data sets from Kaggle, through its own package kagglehub, which resumes, checks and unpacks."""

from pathlib import Path

from lesionkit.data.fetching import FetchError, readable
from lesionkit.data.unpacking import free_bytes

SIZE = 5_600_000_000  # bytes of HAM10000 as Kaggle packs it, each image twice


def check(folder: Path) -> None:
    """Raises FetchError without kagglehub, without a token, and with too full a disk; a notebook on Kaggle needs neither."""
    try:
        from kagglehub.config import get_kaggle_credentials
        from kagglehub.env import is_in_kaggle_notebook
    except ImportError as error:
        raise FetchError(
            "Kaggle needs the package kagglehub: pip install 'lesionkit[kaggle]', or choose another --source"
        ) from error
    if is_in_kaggle_notebook():
        return
    if not get_kaggle_credentials():
        raise FetchError(
            "Kaggle needs a token: make one at https://www.kaggle.com/settings and set KAGGLE_API_TOKEN to it, or choose "
            "another --source"
        )
    if (free := free_bytes(folder)) < 2 * SIZE:
        raise FetchError(f"{folder} has {readable(free)} free, {readable(2 * SIZE)} are needed; give a folder on another disk")


def fetch(handle: str, folder: Path) -> Path:
    """Fetch Kaggle's data set `handle`; returns the folder where it lies. Raises FetchError where Kaggle refuses.

    That is a folder of its own below `folder`, or in a notebook on Kaggle or Colab the one that they mount.
    """
    import kagglehub

    try:
        return Path(kagglehub.dataset_download(handle, output_dir=str(folder / handle.partition("/")[2])))
    except Exception as error:  # its errors have no base of their own
        raise FetchError(
            f"Kaggle's {handle} did not come: {error}. The same command goes on. By hand: download "
            f"https://www.kaggle.com/datasets/{handle} and unpack it in {folder}"
        ) from error
